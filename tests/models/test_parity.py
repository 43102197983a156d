"""torchvision's Faster and Mask R-CNN against ours: equal weights and images give equal detections and losses."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.detection.roi_heads import paste_masks_in_image

from lineage.structures import Detections
from tests.models.compose import build
from tests.models.peers import (
    AS_TORCHVISION,
    CANVAS,
    CLASSES,
    EVERYTHING,
    MASK,
    as_lists,
    assert_same_losses,
    convert_detector,
    prepared,
)
from tests.models.scenes import batch

SIZES = [(192, 256), (180, 250), (192, 200)]


def theirs(name: str) -> nn.Module:
    """A random torchvision model whose scores spread, so that thresholds and NMS have something to decide."""
    torch.manual_seed(0)
    model = torchvision.models.get_model(
        name,
        weights=None,
        weights_backbone=None,
        num_classes=CLASSES + 1,
        min_size=192,
        max_size=256,
        rpn_post_nms_top_n_test=200,
        trainable_backbone_layers=5,
        **EVERYTHING,
    )
    prepared(model)
    with torch.no_grad():
        model.rpn.head.cls_logits.weight.mul_(20)
        model.rpn.head.bbox_pred.weight.mul_(10)
        model.roi_heads.box_predictor.cls_score.weight.mul_(20)
    _balance(model)
    return model


@torch.no_grad()
def _balance(model: nn.Module) -> None:
    """Moves the class biases so that no class wins everywhere, as one does in a random network."""
    scores, seen = model.roi_heads.box_predictor.cls_score, []
    hook = scores.register_forward_hook(lambda _module, _inputs, output: seen.append(output.mean(0)))
    model(as_lists(*batch(SIZES, [3, 2, 1], CLASSES, canvas=CANVAS))[0])
    hook.remove()
    scores.bias -= seen[0]


@pytest.fixture(scope="module", params=["fasterrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn"])
def pair(request: pytest.FixtureRequest) -> tuple[nn.Module, nn.Module]:
    """torchvision's model and ours with the same weights, both in eval mode."""
    reference = theirs(request.param)
    mask = request.param.startswith("mask")
    model = build("model=mask_rcnn" if mask else "model=faster_rcnn", *AS_TORCHVISION, *(MASK if mask else ()))
    model.load_state_dict(convert_detector(reference.state_dict()))
    return reference, model.eval()


@torch.no_grad()
def test_detections_equal_torchvision(pair: tuple[nn.Module, nn.Module]) -> None:
    reference, model = pair
    images, targets = batch(SIZES, [3, 2, 1], CLASSES, canvas=CANVAS)
    expected = reference(as_lists(images, targets)[0])
    found = model.detect(images)
    for image, wanted in enumerate(expected):
        assert len(wanted["boxes"]) > 20
        assert len(wanted["labels"].unique()) > 1
        _assert_equal(found, image, wanted, SIZES[image])


def _assert_equal(found: Detections, image: int, wanted: dict[str, Tensor], size: tuple[int, int]) -> None:
    valid = found.valid[image]
    assert valid.sum() == len(wanted["boxes"])
    boxes = found.boxes[image][valid]
    torch.testing.assert_close(boxes, wanted["boxes"], atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(found.scores[image][valid], wanted["scores"], atol=1e-4, rtol=1e-4)
    assert torch.equal(found.labels[image][valid] + 1, wanted["labels"])
    if found.masks is not None:
        # torchvision pastes before it returns; pasting ours with its own function compares the 28 x 28 masks
        pasted = paste_masks_in_image(found.masks[image][valid][:, None], wanted["boxes"], size)
        torch.testing.assert_close(pasted, wanted["masks"], atol=1e-4, rtol=1e-4)


def test_losses_equal_torchvision_on_equal_samples(pair: tuple[nn.Module, nn.Module]) -> None:
    assert_same_losses(*pair, *batch(SIZES, [5, 3, 0], CLASSES, canvas=CANVAS))
