"""Detectron's names (Caffe2): its model zoo and the ImageNet backbones of MSRA that it started from.

Background is the first class and has its own box deltas and mask. A batch norm is one scale and one shift, with its
statistics multiplied in. Images are blue first, minus a mean. The convolutions of all pyramid levels are one and carry
the name of the second level (`fpn2`).
# deviates: Detectron counts a box's last pixel in (+1 to widths); the weights serve either, the decoded boxes differ
by a small part of a pixel
"""

from __future__ import annotations

from lineage.weights.sources.layout import BACKGROUND_FIRST, BLUE_FIRST, NO_BACKGROUND_DELTAS, NO_BACKGROUND_MASK
from lineage.weights.sources.table import CAFFE, NameTable, SourceConventions, Stems
from lineage.weights.sources.torchvision import DEPTH

LEAVES = {"_w": ".weight", "_b": ".bias", "_s": ".weight", "_rm": ".running_mean", "_riv": ".running_var"}

BRANCHES = (
    ("branch2a", "conv1", "bn1"),
    ("branch2b", "conv2", "bn2"),
    ("branch2c", "conv3", "bn3"),
    ("branch1", "downsample.0", "downsample.1"),
)


def list_stage_stems(number: int, ours: str) -> Stems:
    return tuple(
        pair
        for block in range(DEPTH)
        for branch, convolution, norm in BRANCHES
        for pair in (
            (f"res{number}_{block}_{branch}", f"{ours}{block}.{convolution}"),
            (f"res{number}_{block}_{branch}_bn", f"{ours}{block}.{norm}"),
            (f"res{number}_{block}_{branch}_gn", f"{ours}{block}.{norm}"),
        )
    )


def list_pyramid_stems(number: int, level: int) -> Stems:
    """Return the stems of a pyramid level, named after the last block of a stage; the top level is not `_lateral`."""
    sums = [f"res{number}_{block}_sum" for block in range(DEPTH)]
    inner = [f"fpn_inner_{name}{suffix}" for name in sums for suffix in ("_lateral", "")]
    outer = [f"fpn_{name}" for name in sums]
    return tuple(
        (f"{name}{suffix}", f"neck.{ours}{our_suffix}.{level}")
        for names, ours in ((inner, "lateral"), (outer, "smooth"))
        for name in names
        for suffix, our_suffix in (("", ""), ("_gn", "_norm"))
    )


STEMS = (
    ("conv1", "backbone.stem.0"),
    ("res_conv1_bn", "backbone.stem.1"),
    ("conv1_gn", "backbone.stem.1"),
    *(pair for number in range(4) for pair in list_stage_stems(number + 2, f"backbone.stages.{number}.")),
    *(pair for level in range(4) for pair in list_pyramid_stems(level + 2, level)),
    ("conv_rpn_fpn2", "proposals.convolution"),
    ("rpn_cls_logits_fpn2", "proposals.objectness"),
    ("rpn_bbox_pred_fpn2", "proposals.deltas"),
    ("conv_rpn", "proposals.convolution"),
    ("rpn_cls_logits", "proposals.objectness"),
    ("rpn_bbox_pred", "proposals.deltas"),
    ("fc6", "box.body.1"),
    ("fc7", "box.body.3"),
    ("cls_score", "box.scores"),
    ("bbox_pred", "box.deltas"),
    *((f"_[mask]_fcn{i + 1}", f"heads.mask.body.{2 * i}") for i in range(8)),
    ("conv5_mask", "heads.mask.deconvolution"),
    ("mask_fcn_logits", "heads.mask.masks"),
    *((f"conv_fcn{i + 1}", f"heads.keypoint.body.{2 * i}") for i in range(8)),
    ("kps_score_lowres", "heads.keypoint.deconvolution"),
)
OWN_BODIES = SourceConventions(CAFFE, ("backbone.stride_in=3x3", "roi.aligned=false"))  # not of MSRA
TABLE = NameTable(
    "Detectron",
    STEMS,
    leaves=LEAVES,
    layouts={
        "backbone.stem.0": BLUE_FIRST,
        "box.scores": BACKGROUND_FIRST,
        "box.deltas": NO_BACKGROUND_DELTAS,
        "heads.mask.masks": NO_BACKGROUND_MASK,
    },
    # solver state, the classifier of ImageNet, the bias of conv1, which its batch norm has swallowed, and the
    # enlargement of heatmaps, a layer there and a function here
    ignored=("*_momentum", "lr", "model_iter", "pred_?", "fc1000_?", "conv1_b", "weight_order", "kps_score_?"),
    conventions=SourceConventions(CAFFE, ("backbone.stride_in=1x1", "roi.aligned=false")),
    grouped=OWN_BODIES,
    group_normed=OWN_BODIES,
    folded="_bn_s",
)
