"""RegNets: torchvision's names, and those of pycls, whose authors' they are; detectron2 builds them as pycls does."""

from __future__ import annotations

from lineage.weights.sources.layout import BLUE_FIRST
from lineage.weights.sources.table import IMAGENET, Maths, Table

DEPTH = 20  # blocks of the longest stage of any published RegNet, and some more
LAYERS = {"proj": "", "f.a": "f.a_", "f.b": "f.b_", "f.c": "f.c_"}  # a convolution, and where its norm is in pycls


def torchvision() -> tuple[tuple[str, str], ...]:
    layers = (*(f"{layer}.{part}" for layer in LAYERS for part in (0, 1)), "f.se.fc1", "f.se.fc2")
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


def pycls(theirs: str) -> tuple[tuple[str, str], ...]:
    norms = ((layer, f"{layer}.0", f"{before}bn", f"{layer}.1") for layer, before in LAYERS.items())
    layers = (
        *(pair for convolution, ours, norm, own in norms for pair in ((convolution, ours), (norm, own))),
        ("f.se.f_ex.0", "f.se.fc1"),
        ("f.se.f_ex.2", "f.se.fc2"),
    )
    return (
        (f"{theirs}stem.conv", "backbone.stem.0"),
        (f"{theirs}stem.bn", "backbone.stem.1"),
        *(
            (f"{theirs}s{stage + 1}.b{block + 1}.{layer}", f"backbone.stages.{stage}.{block}.{own}")
            for stage in range(4)
            for block in range(DEPTH)
            for layer, own in layers
        ),
    )


TORCHVISION = Table("torchvision RegNet", torchvision(), ignored=("fc.*",))
PYCLS = Table(
    "pycls RegNet",
    pycls(""),
    layouts={"backbone.stem.0": BLUE_FIRST},
    ignored=("head.fc.*",),
    maths=Maths(IMAGENET),
)
