"""Detectors that torchvision has no function for, put together of its parts, against ours at equal weights.

One map (C4, C5), a last stage that heads share, group norm in pyramid and heads, masks and keypoints in one network.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import resnet18
from torchvision.models.detection import FasterRCNN, KeypointRCNN, MaskRCNN, mask_rcnn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import MultiScaleRoIAlign

from lineage.weights.sources.table import to_ours
from lineage.weights.sources.torchvision import DETECTION
from lineage.weights.sources.torchvision_variants import V2
from tests.models.compose import build
from tests.models.peers import (
    AS_TORCHVISION,
    CANVAS,
    CLASSES,
    EVERYTHING,
    MASK,
    SIZES,
    as_lists,
    assert_same_losses,
    assert_same_objects,
    balanced,
    prepared,
)
from tests.models.scenes import batch

SAMPLED = {**EVERYTHING, "rpn_post_nms_top_n_test": 200}
RATIOS = (0.5, 1.0, 2.0)


def one_map(stages: int, masks: bool) -> nn.Module:
    """C4 with the last stage in the heads, or C5 with two fully connected layers."""
    whole = resnet18(weights=None)
    body = nn.Sequential(OrderedDict(list(whole.named_children())[: 4 + stages]))
    body.out_channels = width = 64 * 2 ** (stages - 1)
    parts = {
        "rpn_anchor_generator": AnchorGenerator(((32, 64, 128, 256, 512),), (RATIOS,)),
        "rpn_head": RPNHead(width, 15),
        "box_roi_pool": MultiScaleRoIAlign(["0"], 7 if stages == 4 else 14, 2),
        "box_head": TwoMLPHead(width * 49, 1024),
        "box_predictor": FastRCNNPredictor(1024 if stages == 4 else 512, CLASSES + 1),
    }
    mask_parts = {
        "mask_roi_pool": MultiScaleRoIAlign(["0"], 14, 2),
        "mask_head": mask_rcnn.MaskRCNNHeads(width, (256,) * 4, 1),
        "mask_predictor": mask_rcnn.MaskRCNNPredictor(256 if stages == 4 else 512, 256, CLASSES + 1),
    }
    if stages == 3:
        parts["box_head"] = nn.Sequential(whole.layer4, nn.AdaptiveAvgPool2d(1), nn.Flatten(1))
        mask_parts["mask_head"] = whole.layer4
    kind = MaskRCNN if masks else FasterRCNN
    return kind(body, **parts, **(mask_parts if masks else {}), **SAMPLED)


def pyramid(norm: type[nn.Module] | partial[nn.GroupNorm] | None = None) -> nn.Module:
    layers = {f"layer{number}": str(number - 1) for number in (1, 2, 3, 4)}
    return BackboneWithFPN(resnet18(weights=None), layers, [64, 128, 256, 512], 256, norm_layer=norm)


def group_norm() -> nn.Module:
    norm = partial(nn.GroupNorm, 32)
    head = FastRCNNConvFCHead((256, 7, 7), [256] * 4, [1024], norm_layer=norm)
    mask = mask_rcnn.MaskRCNNHeads(256, [256] * 4, 1, norm_layer=norm)
    return MaskRCNN(pyramid(norm), CLASSES + 1, box_head=head, mask_head=mask, **SAMPLED)


def both_heads() -> nn.Module:
    model = MaskRCNN(pyramid(), CLASSES + 1, **SAMPLED)
    heads = KeypointRCNN(pyramid(), CLASSES + 1).roi_heads
    for part in ("keypoint_roi_pool", "keypoint_head", "keypoint_predictor"):
        setattr(model.roi_heads, part, getattr(heads, part))
    return model


MODELS = {
    "faster_rcnn_c4": partial(one_map, 3, masks=False),
    "mask_rcnn_c4": partial(one_map, 3, masks=True),
    "faster_rcnn_c5": partial(one_map, 4, masks=False),
    "mask_rcnn_c5": partial(one_map, 4, masks=True),
    "mask_rcnn_gn": group_norm,
    "mask_keypoint_rcnn": both_heads,
}


def theirs(name: str) -> nn.Module:
    torch.manual_seed(1)
    model = prepared(MODELS[name]())
    with torch.no_grad():
        model.rpn.head.bbox_pred.weight.mul_(10)
    return balanced(model)


LAST = {"roi_heads.box_head.0.": "box.body.stage.", "roi_heads.mask_head.": "heads.mask.body.stage."}


def ours(name: str, state: dict[str, Tensor]) -> nn.Module:
    masks = MASK if "mask" in name else ()
    model = build(f"model={name}", "backbone=resnet18", *AS_TORCHVISION, *masks)
    if "_c" in name:  # a body without a pyramid
        state = {leaf.replace("backbone.", "backbone.body."): value for leaf, value in state.items()}
    shared = {}
    for theirs, there in LAST.items() if name.endswith("c4") else ():
        shared |= {there + leaf.removeprefix(theirs): state.pop(leaf) for leaf in [*state] if leaf.startswith(theirs)}
    found, unknown = to_ours(V2 if name.endswith("gn") else DETECTION, state)
    assert not unknown
    model.load_state_dict(found | shared)
    return model.eval()


FAST = ("faster_rcnn_c5", "mask_keypoint_rcnn")


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in MODELS]
)
def pair(request: pytest.FixtureRequest) -> tuple[nn.Module, nn.Module]:
    reference = theirs(request.param)
    return reference, ours(request.param, reference.state_dict())


@torch.no_grad()
def test_detections_equal_torchvision(pair: tuple[nn.Module, nn.Module]) -> None:
    reference, model = pair
    images, targets = batch(SIZES, [3, 2], CLASSES, canvas=CANVAS)
    expected = reference(as_lists(images, targets)[0])
    found = model.detect(images)
    for image, wanted in enumerate(expected):
        assert len(wanted["boxes"]) > 10
        assert_same_objects(found, image, wanted)


def test_losses_equal_torchvision_on_equal_samples(pair: tuple[nn.Module, nn.Module]) -> None:
    assert_same_losses(*pair, *batch(SIZES, [5, 0], CLASSES, canvas=CANVAS))
