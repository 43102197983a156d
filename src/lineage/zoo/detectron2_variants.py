"""detectron2's other detectors: with norms in their heads (4conv1fc, group norm, SyncBN), and on RegNets.

Beside zoo.detectron2 because equal names mean other places here: a norm in a head moves what follows it.
"""

from __future__ import annotations

from lineage.zoo import detectron2, regnet
from lineage.zoo.names import IMAGENET, Maths, Table

RPN = (  # of two convolutions or more
    ("proposal_generator.rpn_head.conv.conv0", "proposals.convolution"),
    *((f"proposal_generator.rpn_head.conv.conv{i + 1}", f"proposals.deeper.{i}") for i in range(3)),
    *detectron2.PROPOSALS,
)


def normed(theirs: str, ours: str, layers: int) -> tuple[tuple[str, str], ...]:
    """Convolutions, each with a norm and a ReLU."""
    return tuple(
        pair
        for i in range(layers)
        for pair in ((f"{theirs}{i + 1}", f"{ours}.{3 * i}"), (f"{theirs}{i + 1}.norm", f"{ours}.{3 * i + 1}"))
    )


def box(theirs: str, ours: str) -> tuple[tuple[str, str], ...]:
    """4conv1fc"""
    return (*normed(f"{theirs}.conv", f"{ours}.convolutions", 4), (f"{theirs}.fc1", f"{ours}.fc"))


HEADS = (
    *box("roi_heads.box_head", "box.body"),
    *(pair for stage in range(3) for pair in box(f"roi_heads.box_head.{stage}", f"box.stages.{stage}.body")),
    *(pair for pair in detectron2.CASCADE if ".body." not in pair[1]),
    *detectron2.BOX,
    *normed("roi_heads.mask_head.mask_fcn", "heads.mask.body", 8),
    *(pair for pair in detectron2.MASK if ".body." not in pair[1]),
    *detectron2.SEMANTIC,
)
PLAIN = (*detectron2.TWO_FC, *detectron2.BOX, *detectron2.CASCADE, *detectron2.HEADS)
REGNET = (*regnet.pycls("backbone.bottom_up."), *detectron2.pyramid(2), *RPN)
NORMED = Table(
    "detectron2 with norms in heads",
    (*detectron2.resnet("backbone.bottom_up."), *detectron2.pyramid(2), *RPN, *HEADS),
    layouts=detectron2.LAYOUTS,
    ignored=detectron2.IGNORED,
    maths=detectron2.MSRA,
    grouped=detectron2.RESNEXT,
)
ON_REGNET = Table(
    "detectron2 on a RegNet", (*REGNET, *PLAIN), layouts=detectron2.LAYOUTS, ignored=detectron2.IGNORED,
    maths=Maths(IMAGENET),
)  # fmt: skip
NORMED_ON_REGNET = Table(
    "detectron2 on a RegNet with norms in heads", (*REGNET, *HEADS), layouts=detectron2.LAYOUTS,
    ignored=detectron2.IGNORED, maths=Maths(IMAGENET),
)  # fmt: skip
