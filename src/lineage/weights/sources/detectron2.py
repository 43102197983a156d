"""detectron2's names: model zoo `.pkl` and trained `.pth` files (MODEL_ZOO.md of detectron2).

Background is the last class and boxes have deltas per class alone, as here. What differs: its images are blue
first and not divided by a deviation, its ResNets (those of MSRA) stride in the 1x1 convolution, and where an anchor
position has several scales they are counted first.
"""

from __future__ import annotations

from torch import Tensor

from lineage.weights.sources.layout import BLUE_FIRST, POINTWISE, scales_first
from lineage.weights.sources.table import (
    IMAGENET,
    UNSCALED,
    NameTable,
    PixelNormalization,
    SourceConventions,
    StateDict,
    Stems,
)
from lineage.weights.sources.torchvision import DEPTH

BLOCK = (
    *((f"conv{i}", f"conv{i}") for i in (1, 2, 3)),
    *((f"conv{i}.norm", f"bn{i}") for i in (1, 2, 3)),
    ("conv2_offset", "conv2.offset"),  # of a deformable convolution
    ("shortcut", "downsample.0"),
    ("shortcut.norm", "downsample.1"),
)


def list_stage_stems(theirs: str, ours: str) -> Stems:
    return tuple(
        (f"{theirs}{block}.{layer}", f"{ours}{block}.{our_layer}")
        for block in range(DEPTH)
        for layer, our_layer in BLOCK
    )


def list_resnet_stems(theirs: str) -> Stems:
    return (
        (f"{theirs}stem.conv1", "backbone.stem.0"),
        (f"{theirs}stem.conv1.norm", "backbone.stem.1"),
        *(
            pair
            for number in range(4)
            for pair in list_stage_stems(f"{theirs}res{number + 2}.", f"backbone.stages.{number}.")
        ),
    )


PROPOSALS = (
    ("proposal_generator.rpn_head.conv", "proposals.convolution"),
    ("proposal_generator.rpn_head.objectness_logits", "proposals.objectness"),
    ("proposal_generator.rpn_head.anchor_deltas", "proposals.deltas"),
)
BOX = (
    ("roi_heads.box_predictor.cls_score", "box.scores"),
    ("roi_heads.box_predictor.bbox_pred", "box.deltas"),
)
CASCADE = tuple(
    pair
    for stage in range(4)
    for pair in (
        (f"roi_heads.box_head.{stage}.fc1", f"box.stages.{stage}.body.1"),
        (f"roi_heads.box_head.{stage}.fc2", f"box.stages.{stage}.body.3"),
        (f"roi_heads.box_predictor.{stage}.cls_score", f"box.stages.{stage}.scores"),
        (f"roi_heads.box_predictor.{stage}.bbox_pred", f"box.stages.{stage}.deltas"),
    )
)
MASK = (
    *((f"roi_heads.mask_head.mask_fcn{i + 1}", f"heads.mask.body.{2 * i}") for i in range(8)),
    ("roi_heads.mask_head.deconv", "heads.mask.deconvolution"),
    ("roi_heads.mask_head.predictor", "heads.mask.masks"),
)
KEYPOINT = (
    *((f"roi_heads.keypoint_head.conv_fcn{i + 1}", f"heads.keypoint.body.{2 * i}") for i in range(8)),
    ("roi_heads.keypoint_head.score_lowres", "heads.keypoint.deconvolution"),
)


# Panoptic FPN: theirs counts convolution and doubling, ours convolution, norm, ReLU and doubling
SEMANTIC = (
    *(
        pair
        for level, convolutions in enumerate((1, 1, 2, 3))
        for i in range(convolutions)
        for pair in (
            (f"sem_seg_head.p{level + 2}.{2 * i}", f"heads.semantic.levels.{level}.{4 * i}"),
            (f"sem_seg_head.p{level + 2}.{2 * i}.norm", f"heads.semantic.levels.{level}.{4 * i + 1}"),
        )
    ),
    ("sem_seg_head.predictor", "heads.semantic.classes"),
)
POINTREND = (
    ("roi_heads.mask_head.coarse_head.reduce_spatial_dim_conv", "heads.mask.coarse.reduce"),
    *((f"roi_heads.mask_head.coarse_head.fc{i + 1}", f"heads.mask.coarse.fc.{i}") for i in range(2)),
    ("roi_heads.mask_head.coarse_head.prediction", "heads.mask.coarse.masks"),
    *((f"roi_heads.mask_head.point_head.fc{i + 1}", f"heads.mask.point.layers.{i}") for i in range(3)),
    ("roi_heads.mask_head.point_head.predictor", "heads.mask.point.masks"),
)
HEADS = (*MASK, *KEYPOINT, *SEMANTIC, *POINTREND)


def list_pyramid_stems(first: int) -> Stems:
    """Return the stems of a pyramid whose finest level belongs to stage `first`."""
    return tuple(
        pair
        for stage in range(first, 6)
        for theirs, ours in (("lateral", "lateral"), ("output", "smooth"))
        for pair in (
            (f"backbone.fpn_{theirs}{stage}", f"neck.{ours}.{stage - first}"),
            (f"backbone.fpn_{theirs}{stage}.norm", f"neck.{ours}_norm.{stage - first}"),
        )
    )


RETINA = tuple(
    pair
    for theirs, ours, last in (("cls", "scores", "cls_score"), ("bbox", "deltas", "bbox_pred"))
    for pair in (
        *((f"head.{theirs}_subnet.{2 * i}", f"head.{ours}.convolutions.{i}") for i in range(4)),
        (f"head.{last}", f"head.{ours}.predictor"),
    )
)
TWO_FC = (("roi_heads.box_head.fc1", "box.body.1"), ("roi_heads.box_head.fc2", "box.body.3"))
SHARED_STAGE = (
    *list_stage_stems("roi_heads.res5.", "box.body.stage."),
    *list_stage_stems("roi_heads.res5.", "heads.mask.body.stage."),
)
LAYOUTS = {
    "backbone.stem.0": BLUE_FIRST,
    "proposals.objectness": scales_first(1),
    "proposals.deltas": scales_first(4),
    **{name: POINTWISE for _, name in POINTREND if name.startswith("heads.mask.point.")},
}
ADAPTIVE = "roi.sampling_ratio=0"  # as many samples as a bin covers pixels: all configs but Detectron1-Comparisons
STRIDE_IN_1X1, STRIDE_IN_3X3 = "backbone.stride_in=1x1", "backbone.stride_in=3x3"
MSRA = SourceConventions(UNSCALED, (STRIDE_IN_1X1, ADAPTIVE))
RESNEXT = SourceConventions(IMAGENET, (STRIDE_IN_3X3, ADAPTIVE))
FAIR = SourceConventions(UNSCALED, (STRIDE_IN_3X3, ADAPTIVE))  # group norm, and ResNeXt-152 of ImageNet-5k


def adapt_conventions(conventions: SourceConventions, state: StateDict) -> SourceConventions:
    """Return the conventions with the pixels that a file carries; early files of the zoo do.

    Where pixels are divided, the body is none of MSRA's: it strides in the 3x3.
    """
    if "pixel_mean" not in state or "pixel_std" not in state:
        return conventions
    mean, std = (_read_decimals(state[name])[::-1] for name in ("pixel_mean", "pixel_std"))  # blue comes first
    settings = conventions.settings
    if max(std) > 1:
        settings = tuple(STRIDE_IN_3X3 if text == STRIDE_IN_1X1 else text for text in settings)
    return SourceConventions(PixelNormalization.of(mean, std), settings)


def _read_decimals(values: Tensor) -> list[float]:
    """Return numbers of 32 bits as they were written in decimals, 123.675 for 123.67500305."""
    return [float(f"{value:.7g}") for value in values.flatten().tolist()]


IGNORED = ("pixel_mean", "pixel_std", "*anchor_generator.*", "stem.fc.*", "linear.*")

PYRAMIDAL = NameTable(
    "detectron2",
    (*list_resnet_stems("backbone.bottom_up."), *list_pyramid_stems(2), *PROPOSALS, *TWO_FC, *BOX, *CASCADE, *HEADS),
    layouts=LAYOUTS,
    ignored=IGNORED,
    conventions=MSRA,
    grouped=RESNEXT,
    group_normed=FAIR,
    adapt_conventions=adapt_conventions,
)
DENSE = NameTable(
    "detectron2 RetinaNet",
    (
        *list_resnet_stems("backbone.bottom_up."),
        *list_pyramid_stems(3),
        *((f"backbone.top_block.{level}", f"neck.top.{level}") for level in ("p6", "p7")),
        *RETINA,
    ),
    layouts={
        "backbone.stem.0": BLUE_FIRST,
        "head.scores.predictor": scales_first(None),
        "head.deltas.predictor": scales_first(4),
    },
    ignored=IGNORED,
    conventions=MSRA,
    grouped=RESNEXT,
    group_normed=FAIR,
    adapt_conventions=adapt_conventions,
)
SINGLE = NameTable(
    "detectron2 on one map",
    (*list_resnet_stems("backbone."), *PROPOSALS, *SHARED_STAGE, *TWO_FC, *BOX, *MASK),
    layouts=LAYOUTS,
    ignored=IGNORED,
    conventions=MSRA,
    grouped=RESNEXT,
    group_normed=FAIR,
    adapt_conventions=adapt_conventions,
)
CLASSIFICATION = NameTable(
    "detectron2 backbone",
    list_resnet_stems(""),
    layouts={"backbone.stem.0": BLUE_FIRST},
    ignored=IGNORED,
    conventions=SourceConventions(UNSCALED, MSRA.settings[:1]),
    grouped=SourceConventions(IMAGENET, RESNEXT.settings[:1]),
    group_normed=SourceConventions(UNSCALED, FAIR.settings[:1]),
    adapt_conventions=adapt_conventions,
)
