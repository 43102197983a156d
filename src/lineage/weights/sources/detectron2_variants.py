"""detectron2's other detectors: with norms in their heads (4conv1fc, group norm, SyncBN), and on RegNets.

Beside zoo.detectron2 because equal names mean other places here: a norm in a head moves what follows it.
"""

from __future__ import annotations

from lineage.weights.sources import detectron2, regnet
from lineage.weights.sources.table import IMAGENET, Maths, Table

DEEPER = (  # an RPN of two convolutions or more: the new baselines
    *((f"proposal_generator.rpn_head.conv.conv{i + 1}", f"proposals.deeper.{i}") for i in range(3)),
    ("proposal_generator.rpn_head.conv.conv0", "proposals.convolution"),
    *(pair for pair in detectron2.PROPOSALS if pair[1] != "proposals.convolution"),
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
RESNET = (*detectron2.resnet("backbone.bottom_up."), *detectron2.pyramid(2))
REGNET = (*regnet.pycls("backbone.bottom_up."), *detectron2.pyramid(2))


def table(source: str, *parts: tuple[tuple[str, str], ...], maths: Maths, grouped: Maths | None = None) -> Table:
    stems = tuple(pair for part in parts for pair in part)
    layouts, ignored = detectron2.LAYOUTS, detectron2.IGNORED
    return Table(f"detectron2 {source}", stems, layouts=layouts, ignored=ignored, maths=maths, grouped=grouped)


MSRA, RESNEXT, AS_PYCLS = detectron2.MSRA, detectron2.RESNEXT, Maths(IMAGENET)
TABLES = (
    table("with norms in heads", RESNET, detectron2.PROPOSALS, HEADS, maths=MSRA, grouped=RESNEXT),
    table("new baselines", RESNET, DEEPER, HEADS, maths=MSRA, grouped=RESNEXT),
    table("on a RegNet", REGNET, detectron2.PROPOSALS, PLAIN, maths=AS_PYCLS),
    table("new baselines on a RegNet", REGNET, DEEPER, HEADS, maths=AS_PYCLS),
)
