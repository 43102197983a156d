"""torchvision's later two-stage detectors against ours: the v2 recipes and MobileNetV3, as tests.models.test_parity."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from lineage.weights.identify import find_table
from lineage.weights.sources.table import to_ours, to_theirs
from lineage.weights.sources.torchvision_variants import MOBILENET, V2
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

VARIANTS = {
    "fasterrcnn_resnet50_fpn_v2": ("model=faster_rcnn_v2", V2),
    "maskrcnn_resnet50_fpn_v2": ("model=mask_rcnn_v2", V2),
    "fasterrcnn_mobilenet_v3_large_fpn": ("model=faster_rcnn_mobilenet", MOBILENET),
    "fasterrcnn_mobilenet_v3_large_320_fpn": ("model=faster_rcnn_mobilenet_320", MOBILENET),
}


def theirs(name: str) -> nn.Module:
    """Random, with scores that spread."""
    torch.manual_seed(0)
    model = torchvision.models.get_model(
        name, weights=None, weights_backbone=None, num_classes=CLASSES + 1, trainable_backbone_layers=5, **EVERYTHING
    )
    prepared(model, gain=1 if "mobilenet" in name else 0.6)
    with torch.no_grad():
        model.rpn.head.bbox_pred.weight.mul_(10)
    return balanced(model)


SLOW = dict.fromkeys(("fasterrcnn_resnet50_fpn_v2", "maskrcnn_resnet50_fpn_v2"), pytest.mark.slow)  # half a minute each


@pytest.fixture(scope="module", params=[pytest.param(name, marks=SLOW.get(name, ())) for name in VARIANTS])
def pair(request: pytest.FixtureRequest) -> tuple[nn.Module, nn.Module]:
    reference = theirs(request.param)
    choice, table = VARIANTS[request.param]
    assert find_table(reference.state_dict()) is table
    proposals = 150 if "320" in choice else 1000
    options = [one for one in AS_TORCHVISION if "post_nms_top_n" not in one]
    after = f"model.proposals.post_nms_top_n={{train: 60, test: {proposals}}}"
    eps = ["backbone.eps=1e-5"] if "mobilenet" in choice else []
    model = build(choice, *options, after, *eps, *(MASK if "mask" in choice else ()))
    found, unknown = to_ours(table, reference.state_dict())
    assert not unknown
    model.load_state_dict(found)
    returned, lost = to_theirs(table, found)
    assert not lost
    assert returned.keys() == reference.state_dict().keys()
    return reference, model.eval()


@torch.no_grad()
def test_detections_equal_torchvision(pair: tuple[nn.Module, nn.Module]) -> None:
    reference, model = pair
    images, targets = batch(SIZES, [3, 2], CLASSES, canvas=CANVAS)
    expected = reference(as_lists(images, targets)[0])
    found = model.detect(images)
    for image, wanted in enumerate(expected):
        assert len(wanted["boxes"]) > 20
        assert len(wanted["labels"].unique()) > 1
        assert_same_objects(found, image, wanted)


def test_losses_equal_torchvision_on_equal_samples(pair: tuple[nn.Module, nn.Module]) -> None:
    assert_same_losses(*pair, *batch(SIZES, [5, 0], CLASSES, canvas=CANVAS))
