"""detectron2's other detectors: with norms in their heads (group norm, SyncBN; 4conv1fc or two layers), and on RegNets.

Apart from detectron2.py because a norm in a head shifts the indices after it: equal names, other tensors.
"""

from __future__ import annotations

from dataclasses import replace

from lineage.weights.sources import detectron2, regnet
from lineage.weights.sources.table import IMAGENET, NameTable, SourceConventions, Stems

DEEPER = (  # an RPN of two convolutions or more: the new baselines
    *((f"proposal_generator.rpn_head.conv.conv{i + 1}", f"proposals.deeper.{i}") for i in range(3)),
    ("proposal_generator.rpn_head.conv.conv0", "proposals.convolution"),
    *(pair for pair in detectron2.PROPOSALS if pair[1] != "proposals.convolution"),
)


def list_conv_norm_stems(theirs: str, ours: str, layers: int) -> Stems:
    """Return the stems of convolutions that are each followed by a norm and a ReLU."""
    return tuple(
        pair
        for i in range(layers)
        for pair in ((f"{theirs}{i + 1}", f"{ours}.{3 * i}"), (f"{theirs}{i + 1}.norm", f"{ours}.{3 * i + 1}"))
    )


def list_4conv1fc_stems(theirs: str, ours: str) -> Stems:
    return (*list_conv_norm_stems(f"{theirs}.conv", f"{ours}.convolutions", 4), (f"{theirs}.fc1", f"{ours}.fc"))


NORMED_MASK = (
    *list_conv_norm_stems("roi_heads.mask_head.mask_fcn", "heads.mask.body", 8),
    *(pair for pair in detectron2.MASK if ".body." not in pair[1]),
)
HEADS = (
    *list_4conv1fc_stems("roi_heads.box_head", "box.body"),
    *(
        pair
        for stage in range(3)
        for pair in list_4conv1fc_stems(f"roi_heads.box_head.{stage}", f"box.stages.{stage}.body")
    ),
    *(pair for pair in detectron2.CASCADE if ".body." not in pair[1]),
    *detectron2.BOX,
    *NORMED_MASK,
    *detectron2.SEMANTIC,
)
# panoptic_fpn_R_101_dconv_cascade_gn_3x: group norm in the pyramid and the mask head, two layers in the box heads
TWO_FC = (*detectron2.TWO_FC, *detectron2.BOX, *detectron2.CASCADE, *NORMED_MASK, *detectron2.SEMANTIC)
PLAIN = (*detectron2.TWO_FC, *detectron2.BOX, *detectron2.CASCADE, *detectron2.HEADS)
RESNET = (*detectron2.list_resnet_stems("backbone.bottom_up."), *detectron2.list_pyramid_stems(2))
REGNET = (*regnet.list_pycls_stems("backbone.bottom_up."), *detectron2.list_pyramid_stems(2))


def build_table(source: str, *groups: Stems, conventions: SourceConventions) -> NameTable:
    return NameTable(
        f"detectron2 {source}",
        tuple(pair for group in groups for pair in group),
        layouts=detectron2.LAYOUTS,
        ignored=detectron2.IGNORED,
        conventions=conventions,
        grouped=detectron2.FAIR,
        group_normed=FROM_SCRATCH if conventions is SYNC_BN else detectron2.FAIR,
        adapt_conventions=detectron2.adapt_conventions,
    )


SCALED = "backbone.std=[58.395,57.12,57.375]"
# equal tensors, trained from ImageNet's weights or from scratch for "9x", on pixels that are divided
FROM_SCRATCH = replace(detectron2.FAIR, alternative=SCALED)
SYNC_BN = replace(detectron2.MSRA, alternative=f"{detectron2.STRIDE_IN_3X3} {SCALED}")
AS_PYCLS = SourceConventions(IMAGENET, (detectron2.ADAPTIVE,))
TABLES = (
    build_table("with norms in heads", RESNET, detectron2.PROPOSALS, HEADS, conventions=SYNC_BN),
    build_table(
        "with norms, two layers in box heads", RESNET, detectron2.PROPOSALS, TWO_FC, conventions=detectron2.MSRA
    ),
    build_table("new baselines", RESNET, DEEPER, HEADS, conventions=detectron2.MSRA),
    build_table("on a RegNet", REGNET, detectron2.PROPOSALS, PLAIN, conventions=AS_PYCLS),
    build_table("new baselines on a RegNet", REGNET, DEEPER, HEADS, conventions=AS_PYCLS),
)
