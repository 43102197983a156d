"""ResNets of Hugging Face: `transformers` has names of its own, `timm` (safetensors on the hub) has torchvision's."""

from __future__ import annotations

from lineage.weights.sources.table import NameTable, Stems
from lineage.weights.sources.torchvision import DEPTH

LAYERS = (("convolution", "conv", "downsample.0"), ("normalization", "bn", "downsample.1"))


def list_resnet_stems(theirs: str) -> Stems:
    block = [
        pair
        for layer, ours, shortcut in LAYERS
        for pair in (*((f"layer.{i}.{layer}", f"{ours}{i + 1}") for i in range(3)), (f"shortcut.{layer}", shortcut))
    ]
    return (
        (f"{theirs}embedder.embedder.convolution", "backbone.stem.0"),
        (f"{theirs}embedder.embedder.normalization", "backbone.stem.1"),
        *(
            (f"{theirs}encoder.stages.{stage}.layers.{number}.{layer}", f"backbone.stages.{stage}.{number}.{ours}")
            for stage in range(4)
            for number in range(DEPTH)
            for layer, ours in block
        ),
    )


TRANSFORMERS = NameTable(
    "transformers", (*list_resnet_stems("resnet."), *list_resnet_stems("")), ignored=("classifier.*",)
)
