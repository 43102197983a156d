"""RegNets: torchvision's names and those of pycls, the authors' code; detectron2 builds them as pycls does."""

from __future__ import annotations

from lineage.weights.sources.layout import BLUE_FIRST
from lineage.weights.sources.table import IMAGENET, NameTable, SourceConventions, Stems

DEPTH = 20  # blocks of the longest stage of any published RegNet, and some more
LAYERS = {"proj": "", "f.a": "f.a_", "f.b": "f.b_", "f.c": "f.c_"}  # a convolution, and where its norm is in pycls


def list_torchvision_stems() -> Stems:
    layers = (*(f"{layer}.{index}" for layer in LAYERS for index in (0, 1)), "f.se.fc1", "f.se.fc2")
    return (
        ("stem.0", "backbone.stem.0"),
        ("stem.1", "backbone.stem.1"),
        *(
            (
                f"trunk_output.block{stage + 1}.block{stage + 1}-{block}.{layer}",
                f"backbone.stages.{stage}.{block}.{layer}",
            )
            for stage in range(4)
            for block in range(DEPTH)
            for layer in layers
        ),
    )


def list_pycls_stems(theirs: str) -> Stems:
    names = ((layer, f"{layer}.0", f"{prefix}bn", f"{layer}.1") for layer, prefix in LAYERS.items())
    layers = (
        *(pair for conv, our_conv, norm, our_norm in names for pair in ((conv, our_conv), (norm, our_norm))),
        ("f.se.f_ex.0", "f.se.fc1"),
        ("f.se.f_ex.2", "f.se.fc2"),
    )
    return (
        (f"{theirs}stem.conv", "backbone.stem.0"),
        (f"{theirs}stem.bn", "backbone.stem.1"),
        *(
            (f"{theirs}s{stage + 1}.b{block + 1}.{layer}", f"backbone.stages.{stage}.{block}.{ours}")
            for stage in range(4)
            for block in range(DEPTH)
            for layer, ours in layers
        ),
    )


TORCHVISION = NameTable("torchvision RegNet", list_torchvision_stems(), ignored=("fc.*",))
PYCLS = NameTable(
    "pycls RegNet",
    list_pycls_stems(""),
    layouts={"backbone.stem.0": BLUE_FIRST},
    ignored=("head.fc.*",),
    conventions=SourceConventions(IMAGENET),
)
