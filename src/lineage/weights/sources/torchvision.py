"""torchvision's names: its detectors (torchvision.models.detection) and its ResNets.

torchvision puts background first, this code base last; box deltas and masks of background exist there and not here.
Its published COCO weights v1 were trained with frozen batch norms of eps = 0, see `EPS_ZERO`.
"""

from __future__ import annotations

from lineage.weights.sources.layout import BACKGROUND_FIRST, NO_BACKGROUND_DELTAS, NO_BACKGROUND_MASK
from lineage.weights.sources.table import IMAGENET, NameTable, SourceConventions, Stems

DEPTH = 36  # blocks of the longest stage of any ResNet here (ResNet-152)
LEVELS = 5
# sha256 of the published files begins so; their frozen norms divide by sqrt(var), with nothing added
EPS_ZERO = ("258fb6c6", "bf2d0c1e", "fc266e95", "eeacb38b")


def list_resnet_stems(theirs: str, ours: str, stem: str = "stem") -> Stems:
    """Return the stems of a ResNet below the prefix `theirs` of torchvision, `ours` of this code base."""
    layers = [f"conv{i}" for i in (1, 2, 3)] + [f"bn{i}" for i in (1, 2, 3)] + ["downsample.0", "downsample.1"]
    return (
        (f"{theirs}conv1", f"{ours}{stem}.0"),
        (f"{theirs}bn1", f"{ours}{stem}.1"),
        *(
            (f"{theirs}layer{stage + 1}.{block}.{layer}", f"{ours}stages.{stage}.{block}.{layer}")
            for stage in range(4)
            for block in range(DEPTH)
            for layer in layers
        ),
    )


FPN = (
    *((f"backbone.fpn.inner_blocks.{level}.0", f"neck.lateral.{level}") for level in range(LEVELS)),
    *((f"backbone.fpn.layer_blocks.{level}.0", f"neck.smooth.{level}") for level in range(LEVELS)),
    *((f"backbone.fpn.inner_blocks.{level}.1", f"neck.lateral_norm.{level}") for level in range(LEVELS)),
    *((f"backbone.fpn.layer_blocks.{level}.1", f"neck.smooth_norm.{level}") for level in range(LEVELS)),
    # before torchvision 0.13 a convolution was not wrapped; the published v1 files are that old
    *((f"backbone.fpn.inner_blocks.{level}", f"neck.lateral.{level}") for level in range(LEVELS)),
    *((f"backbone.fpn.layer_blocks.{level}", f"neck.smooth.{level}") for level in range(LEVELS)),
)
HEADS = (
    ("rpn.head.conv.0.0", "proposals.convolution"),
    ("rpn.head.conv", "proposals.convolution"),
    ("rpn.head.cls_logits", "proposals.objectness"),
    ("rpn.head.bbox_pred", "proposals.deltas"),
    ("roi_heads.box_head.fc6", "box.body.1"),
    ("roi_heads.box_head.fc7", "box.body.3"),
    ("roi_heads.box_predictor.cls_score", "box.scores"),
    ("roi_heads.box_predictor.bbox_pred", "box.deltas"),
    *((f"roi_heads.mask_head.{i}.0", f"heads.mask.body.{2 * i}") for i in range(4)),
    *((f"roi_heads.mask_head.mask_fcn{i + 1}", f"heads.mask.body.{2 * i}") for i in range(4)),
    ("roi_heads.mask_predictor.conv5_mask", "heads.mask.deconvolution"),
    ("roi_heads.mask_predictor.mask_fcn_logits", "heads.mask.masks"),
    *((f"roi_heads.keypoint_head.{i}", f"heads.keypoint.body.{i}") for i in range(0, 16, 2)),
    ("roi_heads.keypoint_predictor.kps_score_lowres", "heads.keypoint.deconvolution"),
)
DETECTION = NameTable(
    "torchvision detection",
    (*list_resnet_stems("backbone.body.", "backbone."), *FPN, *HEADS),
    layouts={
        "box.scores": BACKGROUND_FIRST,
        "box.deltas": NO_BACKGROUND_DELTAS,
        "heads.mask.masks": NO_BACKGROUND_MASK,
    },
    conventions=SourceConventions(IMAGENET, ("roi.aligned=false", "model.proposals.anchors.rounded=true")),
)
CLASSIFICATION = NameTable("torchvision classification", list_resnet_stems("", "backbone."), ignored=("fc.*",))
