"""Names and shapes of published model files, written down from their own code and files, not from our tables.

detectron2: the module trees that its configs build (ResNet bottom_up, FPN, RPN, StandardROIHeads, Res5ROIHeads,
CascadeROIHeads, RetinaNet). Detectron: the blobs that its model zoo pickles hold.
"""

from __future__ import annotations

import torch
from torch import Tensor

DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
Shapes = dict[str, tuple[int, ...]]


def filled(shapes: Shapes, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    state = {name: torch.randn(shape, generator=generator) * 0.05 for name, shape in shapes.items()}
    return {name: value.abs() + 0.5 if name.endswith("running_var") else value for name, value in state.items()}


def d2_norm(name: str, width: int) -> Shapes:
    return {f"{name}.norm.{leaf}": (width,) for leaf in ("weight", "bias", "running_mean", "running_var")}


def d2_stage(prefix: str, number: int, blocks: int, groups: int = 1, width: int = 64) -> Shapes:
    """res2 is number 0."""
    inner, outer = width * groups * 2**number, 256 * 2**number
    inputs = 64 if number == 0 else outer // 2
    shapes: Shapes = {}
    for block in range(blocks):
        name = f"{prefix}.{block}"
        if block == 0:
            shapes |= {f"{name}.shortcut.weight": (outer, inputs, 1, 1)} | d2_norm(f"{name}.shortcut", outer)
        sizes = ((inner, inputs, 1, 1), (inner, inner // groups, 3, 3), (outer, inner, 1, 1))
        for i, size in enumerate(sizes, 1):
            shapes |= {f"{name}.conv{i}.weight": size} | d2_norm(f"{name}.conv{i}", size[0])
        inputs = outer
    return shapes


def d2_resnet(prefix: str, depth: int, stages: int = 4, groups: int = 1, width: int = 64) -> Shapes:
    shapes = {f"{prefix}stem.conv1.weight": (64, 3, 7, 7)} | d2_norm(f"{prefix}stem.conv1", 64)
    for number in range(stages):
        shapes |= d2_stage(f"{prefix}res{number + 2}", number, DEPTHS[depth][number], groups, width)
    return shapes


def layer(name: str, *size: int) -> Shapes:
    return {f"{name}.weight": size, f"{name}.bias": (size[0],)}


def d2_fpn(first: int = 2) -> Shapes:
    shapes: Shapes = {}
    for stage in range(first, 6):
        shapes |= layer(f"backbone.fpn_lateral{stage}", 256, 256 * 2 ** (stage - 2), 1, 1)
        shapes |= layer(f"backbone.fpn_output{stage}", 256, 256, 3, 3)
    return shapes


def d2_rpn(channels: int, anchors: int) -> Shapes:
    head = "proposal_generator.rpn_head"
    return {
        **layer(f"{head}.conv", channels, channels, 3, 3),
        **layer(f"{head}.objectness_logits", anchors, channels, 1, 1),
        **layer(f"{head}.anchor_deltas", 4 * anchors, channels, 1, 1),
    }


def d2_box(classes: int, stage: str = "", agnostic: bool = False) -> Shapes:
    return {
        **layer(f"roi_heads.box_head{stage}.fc1", 1024, 256 * 49),
        **layer(f"roi_heads.box_head{stage}.fc2", 1024, 1024),
        **layer(f"roi_heads.box_predictor{stage}.cls_score", classes + 1, 1024),
        **layer(f"roi_heads.box_predictor{stage}.bbox_pred", 4 if agnostic else 4 * classes, 1024),
    }


def d2_mask(classes: int, inputs: int = 256, convolutions: int = 4) -> Shapes:
    shapes: Shapes = {}
    for i in range(1, convolutions + 1):
        shapes |= layer(f"roi_heads.mask_head.mask_fcn{i}", 256, 256, 3, 3)
    deconv = "roi_heads.mask_head.deconv"
    shapes |= {f"{deconv}.weight": (inputs, 256, 2, 2), f"{deconv}.bias": (256,)}
    return shapes | layer("roi_heads.mask_head.predictor", classes, 256, 1, 1)


def d2_keypoint() -> Shapes:
    shapes = layer("roi_heads.keypoint_head.conv_fcn1", 512, 256, 3, 3)
    for i in range(2, 9):
        shapes |= layer(f"roi_heads.keypoint_head.conv_fcn{i}", 512, 512, 3, 3)
    lowres = "roi_heads.keypoint_head.score_lowres"
    return shapes | {f"{lowres}.weight": (512, 17, 4, 4), f"{lowres}.bias": (17,)}


def d2_faster_fpn(depth: int, classes: int, groups: int = 1, width: int = 64) -> Shapes:
    body = d2_resnet("backbone.bottom_up.", depth, 4, groups, width)
    return body | d2_fpn() | d2_rpn(256, 3) | d2_box(classes)


def d2_c4(depth: int, classes: int) -> Shapes:
    shapes = d2_resnet("backbone.", depth, stages=3) | d2_rpn(1024, 15)
    shapes |= d2_stage("roi_heads.res5", 3, DEPTHS[depth][3])
    return {
        **shapes,
        **layer("roi_heads.box_predictor.cls_score", classes + 1, 2048),
        **layer("roi_heads.box_predictor.bbox_pred", 4 * classes, 2048),
        **d2_mask(classes, 2048, 0),
    }


def d2_retinanet(classes: int) -> Shapes:
    shapes = d2_resnet("backbone.bottom_up.", 50) | d2_fpn(3)
    shapes |= layer("backbone.top_block.p6", 256, 2048, 3, 3) | layer("backbone.top_block.p7", 256, 256, 3, 3)
    for i in range(0, 8, 2):
        shapes |= layer(f"head.cls_subnet.{i}", 256, 256, 3, 3) | layer(f"head.bbox_subnet.{i}", 256, 256, 3, 3)
    return shapes | layer("head.cls_score", 9 * classes, 256, 3, 3) | layer("head.bbox_pred", 36, 256, 3, 3)


def d2_cascade(classes: int) -> Shapes:
    shapes = d2_resnet("backbone.bottom_up.", 50) | d2_fpn() | d2_rpn(256, 3) | d2_mask(classes)
    for stage in range(3):
        shapes |= d2_box(classes, f".{stage}", agnostic=True)
    return shapes


def d2_panoptic(stuff: int) -> Shapes:
    """SemSegFPNHead: p2 has one convolution, p3 to p5 as many as they are doubled; each with group norm."""
    shapes = layer("sem_seg_head.predictor", stuff, 128, 1, 1)
    for level, convolutions in ((2, 1), (3, 1), (4, 2), (5, 3)):
        for i in range(convolutions):
            name = f"sem_seg_head.p{level}.{2 * i}"
            shapes |= {f"{name}.weight": (128, 128 if i else 256, 3, 3)} | layer(f"{name}.norm", 128)
            shapes[f"{name}.norm.weight"] = (128,)
    return shapes


def d2_pointrend(classes: int) -> Shapes:
    """projects/PointRend, weights of version 2."""
    coarse, point = "roi_heads.mask_head.coarse_head", "roi_heads.mask_head.point_head"
    shapes = layer(f"{coarse}.reduce_spatial_dim_conv", 256, 256, 2, 2)
    shapes |= layer(f"{coarse}.fc1", 1024, 256 * 49) | layer(f"{coarse}.fc2", 1024, 1024)
    shapes |= layer(f"{coarse}.prediction", classes * 49, 1024)
    for i in (1, 2, 3):
        shapes |= layer(f"{point}.fc{i}", 256, 256 + classes, 1)
    return shapes | layer(f"{point}.predictor", classes, 256 + classes, 1)


def c2_layer(name: str, *size: int) -> Shapes:
    return {f"{name}_w": size, f"{name}_b": (size[0],)}


def c2_affine(name: str, width: int) -> Shapes:
    return {f"{name}_bn_s": (width,), f"{name}_bn_b": (width,)}


def c2_resnet(depth: int) -> Shapes:
    """conv1, the affine of its norm, and res2_0_branch2a ... res5_2_branch2c."""
    shapes: Shapes = {"conv1_w": (64, 3, 7, 7)} | c2_affine("res_conv1", 64)
    inputs = 64
    for number, blocks in enumerate(DEPTHS[depth]):
        inner, outer = 64 * 2**number, 256 * 2**number
        for block in range(blocks):
            name = f"res{number + 2}_{block}_branch"
            if block == 0:
                shapes |= {f"{name}1_w": (outer, inputs, 1, 1)} | c2_affine(f"{name}1", outer)
            sizes = {"2a": (inner, inputs, 1, 1), "2b": (inner, inner, 3, 3), "2c": (outer, inner, 1, 1)}
            for branch, size in sizes.items():
                shapes |= {f"{name}{branch}_w": size} | c2_affine(f"{name}{branch}", size[0])
            inputs = outer
    return shapes


def c2_mask_fpn(depth: int, classes: int) -> Shapes:
    """e2e_mask_rcnn_R-*-FPN: `classes` without background."""
    shapes = c2_resnet(depth)
    for number, blocks in enumerate(DEPTHS[depth]):
        level, width = f"res{number + 2}_{blocks - 1}_sum", 256 * 2**number
        inner = f"fpn_inner_{level}" + ("" if number == 3 else "_lateral")
        shapes |= c2_layer(inner, 256, width, 1, 1) | c2_layer(f"fpn_{level}", 256, 256, 3, 3)
    for i in range(1, 5):
        shapes |= c2_layer(f"_[mask]_fcn{i}", 256, 256, 3, 3)
    return {
        **shapes,
        **c2_layer("conv_rpn_fpn2", 256, 256, 3, 3),
        **c2_layer("rpn_cls_logits_fpn2", 3, 256, 1, 1),
        **c2_layer("rpn_bbox_pred_fpn2", 12, 256, 1, 1),
        **c2_layer("fc6", 1024, 256 * 49),
        **c2_layer("fc7", 1024, 1024),
        **c2_layer("cls_score", classes + 1, 1024),
        **c2_layer("bbox_pred", 4 * (classes + 1), 1024),
        "conv5_mask_w": (256, 256, 2, 2),
        "conv5_mask_b": (256,),
        **c2_layer("mask_fcn_logits", classes + 1, 256, 1, 1),
    }
