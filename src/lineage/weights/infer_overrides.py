"""Infer the model that weights belong to, from the names and shapes of their tensors."""

from __future__ import annotations

from collections import Counter

from torch import Tensor

from lineage.weights.identify import has_group_norm, is_resnext
from lineage.weights.sources.layout import RETINANET_ANCHORS

StateDict = dict[str, Tensor]

BACKBONES: dict[tuple[int, ...], tuple[str, ...]] = {  # by blocks per stage
    (2, 2, 2, 2): ("resnet18",),
    (3, 4, 6, 3): ("resnet34", "resnet50"),  # of basic blocks, of bottlenecks
    (3, 4, 23, 3): ("resnet101",),
    (3, 8, 36, 3): ("resnet152",),
    (2, 6, 15, 2): ("regnetx_3_2gf",),
    (2, 5, 14, 2): ("regnetx_4gf",),
    (2, 5, 13, 1): ("regnety_3_2gf",),
    (2, 6, 12, 2): ("regnety_4gf",),
}
CENTERS = "head.heat.0.2.bias"  # of a CenterNet: one row per class
MODULATED = 27  # rows of the offsets of a deformable 3x3 convolution of version 2; version 1 has 18
DEEPER = "proposals.deeper."  # the convolutions of an RPN after its first
RESNEXT = {  # by inputs of a group
    ("resnet101", 8): "resnext101_32x8d",
    ("resnet101", 4): "resnext101_64x4d",
    ("resnet152", 8): "resnext152_32x8d",
}

COCO_LABELS = {"dataset.keypoints": 17, "dataset.stuff": 54}  # which models have where a dataset names no number


MOBILENET_V3 = "backbone.blocks.0.0.weight"
MOBILENET_V1 = "backbone.blocks.0.0.convolution.weight"
MOBILE = ("centernet", "faster_rcnn")  # models with an option NAME_mobilenet, which has a MobileNetV3

THIN = 64  # channels of the narrowest stem whose group norm is the papers'


def infer_overrides(state: StateDict) -> list[str]:
    """Return the overrides of the network, as far as names and shapes determine them.

    First `model=`, `backbone=` and `dataset.classes=`, then the options of both that differ from their defaults.
    """
    is_detector = _has(state, "proposals.", "box.", "head.")
    overrides = [f"model={_infer_model(state)}"] if is_detector else []
    overrides += [f"backbone={backbone}"] if (backbone := _infer_backbone(state)) else []
    overrides += [f"dataset.classes={count}"] if (count := count_classes(state)) else []
    overrides += [f"++{key}={count}" for key, count in count_labels(state).items()]
    return [*overrides, *_infer_upsampling(state), *_infer_body_options(state), *_infer_head_options(state)]


def _infer_upsampling(state: StateDict) -> list[str]:
    """Return the upsampling of a CenterNet, and the width of its heads."""
    if CENTERS not in state:
        return []
    name = "none"
    if _has(state, "neck.steps."):
        is_deformable = any(name.startswith("neck.steps.") and ".offset." in name for name in state)
        name = "aggregation" if is_deformable else "aggregation_plain"
    elif _has(state, "neck.layers."):
        has_convolutions = state["neck.layers.0.weight"].shape[-1] == 3  # the transposed ones are 4x4
        deformable = _has(state, "neck.layers.0.offset.")
        name = "deformable" if deformable else "convolution" if has_convolutions else "deconvolution"
    return [f"upsampling={name}", f"model.head.width={len(state['head.heat.0.0.bias'])}"]


def _infer_body_options(state: StateDict) -> list[str]:
    """Return the options of the backbone: group norm and deformable convolutions."""
    options = []
    if has_group_norm(state):
        options.append(f"backbone.norm={'gn32' if len(state['backbone.stem.1.weight']) >= THIN else 'gn'}")
    offsets = {
        int(name.split(".")[2]) + 2: len(value) for name, value in state.items()
        if name.startswith("backbone.stages.") and name.endswith(".conv2.offset.weight")
    }  # fmt: skip
    if offsets:
        options.append(f"backbone.deform=[{','.join(map(str, sorted(offsets)))}]")
    return options + (["backbone.deform_version=2"] if MODULATED in offsets.values() else [])


def _infer_head_options(state: StateDict) -> list[str]:
    """Return the options of the heads: one RPN convolution with norms in the heads, class-agnostic boxes and masks."""
    count = count_classes(state) or 1
    options = []
    if _has_batch_norm_in_pyramid(state) and _has(state, "proposals.convolution.") and not _has(state, DEEPER):
        options.append("model.proposals.depth=1")
    for name, rows, option in (
        ("box.deltas.bias", 4, "model.box.class_agnostic=true"),
        ("heads.mask.masks.bias", 1, "model.heads.mask.class_agnostic=true"),
    ):
        if count > 1 and name in state and len(state[name]) == rows:
            options.append(option)
    return options


def _has_batch_norm_in_pyramid(state: StateDict) -> bool:
    return "neck.lateral_norm.0.running_mean" in state and not _has(state, "head.")


def count_labels(state: StateDict) -> dict[str, int]:
    """Return the keys of a dataset's keypoints and semantic classes with their numbers, if they are not COCO's."""
    keypoints, semantic = (
        state.get(f"heads.{name}") for name in ("keypoint.deconvolution.bias", "semantic.classes.bias")
    )
    keypoints = state.get("landmarks.heat.0.2.bias", keypoints)
    counts = {"dataset.keypoints": keypoints, "dataset.stuff": semantic}
    return {key: len(bias) for key, bias in counts.items() if bias is not None and len(bias) != COCO_LABELS[key]}


def count_classes(state: StateDict) -> int | None:
    """Count the classes of a detector, without background. None: the weights are of no detector."""
    scores = state.get("box.scores.bias", state.get("box.stages.0.scores.bias"))
    dense = state.get("head.scores.predictor.bias")
    if CENTERS in state:
        return len(state[CENTERS])
    if scores is not None:
        return len(scores) - 1
    return len(dense) // RETINANET_ANCHORS if dense is not None else None


def _has(state: StateDict, *prefixes: str) -> bool:
    return any(name.startswith(prefixes) for name in state)


def _infer_backbone(state: StateDict) -> str | None:
    if _has(state, "backbone.plain."):
        return "dla34"
    if _has(state, "backbone.from_input."):
        return "hourglass104"
    if _has(state, "backbone.blocks."):
        return _infer_mobilenet(state)
    if _has(state, "backbone.trunk."):
        return "vgg16_caffe" if "backbone.trunk.conv5_3.weight" in state else "caffenet"
    blocks = {tuple(name.split(".")[2:4]) for name in state if name.startswith("backbone.stages.")}
    # C4: the last stage is the head's
    blocks |= {("3", name.split(".")[3]) for name in state if name.startswith("box.body.stage.")}
    counts = Counter(stage for stage, _ in blocks)
    depths = tuple(counts[str(stage)] for stage in range(4) if counts[str(stage)])  # an RPN on C4 has three stages
    names = next((names for key, names in BACKBONES.items() if depths and key[: len(depths)] == depths), ())
    backbone = names[-1] if names and "backbone.stages.0.0.conv3.weight" in state else next(iter(names), None)
    if not is_resnext(state):
        return backbone
    return RESNEXT.get((backbone or "", state["backbone.stages.0.0.conv2.weight"].shape[1]))


def _infer_mobilenet(state: StateDict) -> str | None:
    """Return the MobileNet; None if its model chooses it, or if it has another width than any option."""
    if MOBILENET_V3 in state:
        return None if _infer_family(state) in MOBILE else "mobilenet_v3_large"
    return "mobilenet_v1_075" if MOBILENET_V1 in state and len(state[MOBILENET_V1]) == 24 else None


def _infer_model(state: StateDict) -> str:
    """Return the name of the model config, with its variant (v2, gn, mobilenet)."""
    name = _infer_family(state)
    if name.startswith("cascade") and _has(state, "heads.semantic."):
        return "cascade_panoptic_fpn"
    if MOBILENET_V3 in state and name in MOBILE:
        return f"{name}_mobilenet"
    if "neck.lateral_norm.0.weight" not in state:
        return name
    # batch norms, which have statistics, are torchvision's v2 recipes
    return f"{name}_v2" if "neck.lateral_norm.0.running_mean" in state else f"{name}_gn"


def _infer_family(state: StateDict) -> str:
    if CENTERS in state:
        return _infer_centernet(state)
    if _has(state, "head."):
        return "retinanet"
    if _has(state, "backbone.trunk."):
        return "faster_rcnn_vgg" if _has(state, "proposals.") else "fast_rcnn"
    if not _has(state, "box."):
        return "rpn" if _has(state, "neck.") else "rpn_c5" if _has(state, "backbone.stages.3.") else "rpn_c4"
    if _has(state, "box.stages."):
        return "cascade_mask_rcnn" if _has(state, "heads.mask.") else "cascade_rcnn"
    if _has(state, "heads.semantic."):
        return "panoptic_fpn"
    if _has(state, "heads.mask.point."):
        return "pointrend"
    return _infer_two_stage(state)


def _infer_centernet(state: StateDict) -> str:
    """Return deepmark for several classes with landmarks of their own, as the 294 of DeepFashion2's 13 are."""
    if not _has(state, "landmarks."):
        return "centernet"
    has_own_landmarks = "dataset.keypoints" in count_labels(state)  # not COCO's 17
    return "deepmark" if has_own_landmarks and len(state[CENTERS]) > 1 else "centernet_pose"


def _infer_two_stage(state: StateDict) -> str:
    heads = "_".join(head for head in ("mask", "keypoint") if _has(state, f"heads.{head}."))
    has_rpn = _has(state, "proposals.")
    name = f"{heads or ('faster' if has_rpn else 'fast')}_rcnn"
    if _has(state, "neck."):
        if name == "mask_rcnn" and not has_rpn:
            return "mask_rcnn_given"
        return "fast_rcnn_fpn" if name == "fast_rcnn" else name
    if _has(state, "box.body.stage."):
        return f"{name}_c4"
    return "fast_rcnn_c5" if name == "fast_rcnn" else f"{name}_dc5"  # c5 and dc5 have the same tensors
