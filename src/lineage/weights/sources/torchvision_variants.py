"""torchvision's other detectors: the v2 recipes with norms in pyramid and heads, RetinaNet, and MobileNetV3.

Apart from torchvision.py because a norm in a head shifts the indices after it: equal names, other tensors.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lineage.weights.sources.layout import BACKGROUND_FIRST, NO_BACKGROUND_DELTAS, NO_BACKGROUND_MASK
from lineage.weights.sources.table import IMAGENET, Layout, NameTable, SourceConventions
from lineage.weights.sources.torchvision import FPN, HEADS, LEVELS, list_resnet_stems

ANCHORS = 9  # per position of torchvision's RetinaNet
NEVER = -100.0  # a bias whose sigmoid is 0


def _drop_class_zero(rows: Tensor) -> Tensor:
    return rows.unflatten(0, (ANCHORS, -1))[:, 1:].flatten(0, 1)


def _add_class_zero(rows: Tensor) -> Tensor:
    split = rows.unflatten(0, (ANCHORS, -1))
    first = torch.full_like(split[:, :1], NEVER if rows.ndim == 1 else 0.0)
    return torch.cat((first, split), 1).flatten(0, 1)


NO_CLASS_ZERO = Layout("every anchor has a class 0 without objects; left out here", _drop_class_zero, _add_class_zero)

NORMS = (
    *((f"backbone.fpn.inner_blocks.{level}.1", f"neck.lateral_norm.{level}") for level in range(LEVELS)),
    *((f"backbone.fpn.layer_blocks.{level}.1", f"neck.smooth_norm.{level}") for level in range(LEVELS)),
)
SUBNETS = tuple(
    (f"head.{theirs}_head.conv.{layer}.{index}", f"head.{ours}.{name}.{layer}")
    for theirs, ours in (("classification", "scores"), ("regression", "deltas"))
    for layer in range(4)
    for index, name in ((0, "convolutions"), (1, "norms"))
)
# files from before torchvision 0.13 count the ReLUs in between
SUBNETS_BEFORE = tuple(
    (f"head.{theirs}_head.conv.{2 * layer}", f"head.{ours}.convolutions.{layer}")
    for theirs, ours in (("classification", "scores"), ("regression", "deltas"))
    for layer in range(4)
)
RETINANET = NameTable(
    "torchvision RetinaNet",
    (
        *list_resnet_stems("backbone.body.", "backbone."),
        *FPN,
        ("backbone.fpn.extra_blocks.p6", "neck.top.p6"),
        ("backbone.fpn.extra_blocks.p7", "neck.top.p7"),
        *SUBNETS,
        *SUBNETS_BEFORE,
        ("head.classification_head.cls_logits", "head.scores.predictor"),
        ("head.regression_head.bbox_reg", "head.deltas.predictor"),
    ),
    layouts={"head.scores.predictor": NO_CLASS_ZERO},
    conventions=SourceConventions(IMAGENET, ("model.head.anchors.rounded=true",)),
)

PREDICTORS = {
    "box.scores": BACKGROUND_FIRST,
    "box.deltas": NO_BACKGROUND_DELTAS,
    "heads.mask.masks": NO_BACKGROUND_MASK,
}
CONVENTIONS = SourceConventions(IMAGENET, ("roi.aligned=false", "model.proposals.anchors.rounded=true"))

# convolution, norm, ReLU: three indices per layer in our body, one in theirs
BODIES = tuple(
    (f"{theirs}.{layer}.{index}", f"{ours}.{3 * layer + index}")
    for theirs, ours in (("roi_heads.box_head", "box.body.convolutions"), ("roi_heads.mask_head", "heads.mask.body"))
    for layer in range(4)
    for index in (0, 1)
)
PLAIN = tuple(pair for pair in HEADS if not pair[1].startswith(("heads.mask.body", "box.body")))
V2 = NameTable(
    "torchvision detection v2",
    (
        *list_resnet_stems("backbone.body.", "backbone."),
        *FPN,
        *NORMS,
        ("rpn.head.conv.1.0", "proposals.deeper.0"),
        *BODIES,
        ("roi_heads.box_head.5", "box.body.fc"),
        *PLAIN,
    ),
    layouts=PREDICTORS,
    conventions=CONVENTIONS,
)

BLOCKS = 17  # of MobileNetV3-large's features, the stem and the last convolution among them
LAYERS = ("0", "1", *(f"block.{layer}.{part}" for layer in range(4) for part in ("0", "1", "fc1", "fc2")))
MOBILENET = NameTable(
    "torchvision detection on MobileNetV3",
    (
        *(
            (f"backbone.body.{block}.{layer}", f"backbone.blocks.{block}.{layer}")
            for block in range(BLOCKS)
            for layer in LAYERS
        ),
        *FPN,
        *HEADS,
    ),
    layouts=PREDICTORS,
    conventions=CONVENTIONS,
)
