"""Names and shapes of published model files, written down from their own code and files, not from our tables.

detectron2: the module trees that its configs build (ResNet bottom_up, FPN, RPN, StandardROIHeads, Res5ROIHeads,
CascadeROIHeads, RetinaNet; DC5, heads with norms). Detectron: the blobs that its model zoo pickles hold.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
GROUP = ("weight", "bias")  # leaves of a group norm
BATCH = (*GROUP, "running_mean", "running_var")
Shapes = dict[str, tuple[int, ...]]


def filled(shapes: Shapes, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    state = {name: torch.randn(shape, generator=generator) * 0.05 for name, shape in shapes.items()}
    return {name: value.abs() + 0.5 if name.endswith("running_var") else value for name, value in state.items()}


def d2_norm(name: str, width: int) -> Shapes:
    return {f"{name}.norm.{leaf}": (width,) for leaf in BATCH}


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


def d2_fpn(first: int = 2, widths: Sequence[int] = (256, 512, 1024, 2048)) -> Shapes:
    shapes: Shapes = {}
    for stage in range(first, 6):
        shapes |= layer(f"backbone.fpn_lateral{stage}", 256, widths[stage - 2], 1, 1)
        shapes |= layer(f"backbone.fpn_output{stage}", 256, 256, 3, 3)
    return shapes


def d2_rpn(channels: int, anchors: int) -> Shapes:
    head = "proposal_generator.rpn_head"
    return {
        **layer(f"{head}.conv", channels, channels, 3, 3),
        **layer(f"{head}.objectness_logits", anchors, channels, 1, 1),
        **layer(f"{head}.anchor_deltas", 4 * anchors, channels, 1, 1),
    }


def d2_box(classes: int, stage: str = "", agnostic: bool = False, channels: int = 256) -> Shapes:
    return {
        **layer(f"roi_heads.box_head{stage}.fc1", 1024, channels * 49),
        **layer(f"roi_heads.box_head{stage}.fc2", 1024, 1024),
        **layer(f"roi_heads.box_predictor{stage}.cls_score", classes + 1, 1024),
        **layer(f"roi_heads.box_predictor{stage}.bbox_pred", 4 if agnostic else 4 * classes, 1024),
    }


def d2_mask(classes: int, inputs: int = 256, convolutions: int = 4, channels: int = 256) -> Shapes:
    shapes: Shapes = {}
    for i in range(1, convolutions + 1):
        shapes |= layer(f"roi_heads.mask_head.mask_fcn{i}", 256, channels if i == 1 else 256, 3, 3)
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


def d2_c4(depth: int, classes: int, *, proposals: bool = True, masks: bool = True) -> Shapes:
    """Res5ROIHeads; `proposals` are given by others in Fast R-CNN."""
    shapes = d2_resnet("backbone.", depth, stages=3) | (d2_rpn(1024, 15) if proposals else {})
    shapes |= d2_stage("roi_heads.res5", 3, DEPTHS[depth][3])
    return {
        **shapes,
        **layer("roi_heads.box_predictor.cls_score", classes + 1, 2048),
        **layer("roi_heads.box_predictor.bbox_pred", 4 * classes, 2048),
        **(d2_mask(classes, 2048, 0) if masks else {}),
    }


def d2_c5(classes: int, *, proposals: bool = True, masks: bool = False) -> Shapes:
    """StandardROIHeads on res5, dilated or not."""
    shapes = d2_resnet("backbone.", 50) | d2_box(classes, channels=2048)
    return shapes | (d2_rpn(2048, 15) if proposals else {}) | (d2_mask(classes, channels=2048) if masks else {})


def d2_normed(name: str, outputs: int, inputs: int, size: int = 3, leaves: Sequence[str] = GROUP) -> Shapes:
    """A convolution and its norm, which takes the place of a bias."""
    return {f"{name}.weight": (outputs, inputs, size, size)} | {f"{name}.norm.{leaf}": (outputs,) for leaf in leaves}


def d2_normed_pyramid(widths: Sequence[int], leaves: Sequence[str] = GROUP) -> Shapes:
    shapes: Shapes = {}
    for stage, width in enumerate(widths, 2):
        shapes |= d2_normed(f"backbone.fpn_lateral{stage}", 256, width, 1, leaves)
        shapes |= d2_normed(f"backbone.fpn_output{stage}", 256, 256, 3, leaves)
    return shapes


def d2_normed_mask(classes: int, convolutions: int, leaves: Sequence[str] = GROUP) -> Shapes:
    shapes = d2_mask(classes, convolutions=0)
    for i in range(1, convolutions + 1):
        shapes |= d2_normed(f"roi_heads.mask_head.mask_fcn{i}", 256, 256, 3, leaves)
    return shapes


def d2_boxes(classes: int, stages: Sequence[str]) -> Shapes:
    """The box heads of a cascade, of two fully connected layers."""
    return {name: shape for stage in stages for name, shape in d2_box(classes, stage, agnostic=True).items()}


def d2_norms(widths: Sequence[int], classes: int, masks: int, stages: Sequence[str] = ("",),
             leaves: Sequence[str] = GROUP) -> Shapes:  # fmt: skip
    """Norms in pyramid and heads: 4conv1fc box heads, one per stage of a cascade, and `masks` mask convolutions."""
    shapes = d2_normed_pyramid(widths, leaves) | d2_normed_mask(classes, masks, leaves)
    for name in stages:
        box = d2_box(classes, name, agnostic=len(stages) > 1)
        shapes |= {k: v for k, v in box.items() if ".fc2" not in k}
        for i in range(1, 5):
            shapes |= d2_normed(f"roi_heads.box_head{name}.conv{i}", 256, 256, 3, leaves)
    return shapes


def d2_new_baseline(widths: Sequence[int], classes: int) -> Shapes:
    """configs/new_baselines: SyncBN in pyramid and heads, two convolutions in the RPN."""
    shapes = d2_norms(widths, classes, 4, leaves=BATCH)
    for name, shape in d2_rpn(256, 3).items():
        shapes |= {name: shape} if ".conv." not in name else {
            name.replace(".conv.", f".conv.conv{i}."): shape for i in (0, 1)
        }  # fmt: skip
    return shapes


def without_statistics(shapes: Shapes) -> Shapes:
    """A body with group norm has only scale and shift."""
    return {name: shape for name, shape in shapes.items() if "running_" not in name}


def deformable(shapes: Shapes) -> Shapes:
    """res3 to res5 with a convolution of offsets beside each 3x3 one: DeformBottleneckBlock."""
    found = dict(shapes)
    for name, shape in shapes.items():
        if name.endswith(".conv2.weight") and ".res2." not in name:
            found |= layer(name.removesuffix(".weight") + "_offset", 18, shape[1], 3, 3)
    return found


def d2_retinanet(classes: int, depth: int = 50) -> Shapes:
    shapes = d2_resnet("backbone.bottom_up.", depth) | d2_fpn(3)
    shapes |= layer("backbone.top_block.p6", 256, 2048, 3, 3) | layer("backbone.top_block.p7", 256, 256, 3, 3)
    for i in range(0, 8, 2):
        shapes |= layer(f"head.cls_subnet.{i}", 256, 256, 3, 3) | layer(f"head.bbox_subnet.{i}", 256, 256, 3, 3)
    return shapes | layer("head.cls_score", 9 * classes, 256, 3, 3) | layer("head.bbox_pred", 36, 256, 3, 3)


def d2_cascade(classes: int, depth: int = 50) -> Shapes:
    shapes = d2_resnet("backbone.bottom_up.", depth) | d2_fpn() | d2_rpn(256, 3)
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


def d2_regnet(prefix: str, depths: Sequence[int], widths: Sequence[int], group: int, squeezed: bool) -> Shapes:
    """AnyNet, of pycls and of detectron2; squeeze-and-excitation with a quarter of what the block is given."""
    shapes: Shapes = {f"{prefix}stem.conv.weight": (32, 3, 3, 3)}
    norms, inputs = {f"{prefix}stem.bn": 32}, 32
    for stage, (count, wide) in enumerate(zip(depths, widths, strict=True), 1):
        for block in range(1, count + 1):
            name = f"{prefix}s{stage}.b{block}"
            if block == 1:
                shapes[f"{name}.proj.weight"], norms[f"{name}.bn"] = (wide, inputs, 1, 1), wide
            sizes = {"a": (wide, inputs, 1, 1), "b": (wide, group, 3, 3), "c": (wide, wide, 1, 1)}
            for letter, size in sizes.items():
                shapes[f"{name}.f.{letter}.weight"], norms[f"{name}.f.{letter}_bn"] = size, wide
            if squeezed:
                inner = round(inputs / 4)
                shapes |= layer(f"{name}.f.se.f_ex.0", inner, wide, 1, 1)
                shapes |= layer(f"{name}.f.se.f_ex.2", wide, inner, 1, 1)
            inputs = wide
    return shapes | {f"{name}.{leaf}": (wide,) for name, wide in norms.items() for leaf in BATCH}


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
