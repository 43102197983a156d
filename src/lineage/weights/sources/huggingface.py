"""ResNets of Hugging Face: `transformers` has names of its own, `timm` (safetensors on the hub) has torchvision's."""

from __future__ import annotations

from lineage.weights.sources.table import Table
from lineage.weights.sources.torchvision import DEPTH

PARTS = (("convolution", "conv", "downsample.0"), ("normalization", "bn", "downsample.1"))


def resnet(theirs: str) -> tuple[tuple[str, str], ...]:
    block = [
        pair
        for part, own, shortcut in PARTS
        for pair in (*((f"layer.{i}.{part}", f"{own}{i + 1}") for i in range(3)), (f"shortcut.{part}", shortcut))
    ]
    return (
        (f"{theirs}embedder.embedder.convolution", "backbone.stem.0"),
        (f"{theirs}embedder.embedder.normalization", "backbone.stem.1"),
        *(
            (f"{theirs}encoder.stages.{stage}.layers.{number}.{layer}", f"backbone.stages.{stage}.{number}.{own}")
            for stage in range(4)
            for number in range(DEPTH)
            for layer, own in block
        ),
    )


TRANSFORMERS = Table("transformers", (*resnet("resnet."), *resnet("")), ignored=("classifier.*",))
