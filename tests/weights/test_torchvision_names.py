"""Names of torchvision's own networks: each has a place here, each of ours a name there, and values keep their rows."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import torch
import torchvision
from torch import Tensor, nn

from lineage.weights.identify import TABLES, identify
from lineage.weights.infer_overrides import infer_overrides
from lineage.weights.sources import centernet, torchvision_variants
from lineage.weights.sources import torchvision as names
from lineage.weights.sources.layout import RETINANET_ANCHORS
from lineage.weights.sources.table import CAFFE, IMAGENET, UNSCALED, NameTable, to_theirs
from lineage.weights.state_dict import COUNTER
from tests.models.compose import build

CLASSES = 5
DETECTORS = {  # torchvision's name -> overrides, of which infer_overrides returns the first two
    "fasterrcnn_resnet50_fpn": ("model=faster_rcnn", "backbone=resnet50"),
    "fasterrcnn_resnet50_fpn_v2": ("model=faster_rcnn_v2", "backbone=resnet50"),
    "maskrcnn_resnet50_fpn": ("model=mask_rcnn", "backbone=resnet50"),
    "maskrcnn_resnet50_fpn_v2": ("model=mask_rcnn_v2", "backbone=resnet50"),
    "keypointrcnn_resnet50_fpn": ("model=keypoint_rcnn", "backbone=resnet50"),
    "fasterrcnn_mobilenet_v3_large_fpn": ("model=faster_rcnn_mobilenet", f"dataset.classes={CLASSES}"),
    "fasterrcnn_mobilenet_v3_large_320_fpn": ("model=faster_rcnn_mobilenet", f"dataset.classes={CLASSES}"),
    "retinanet_resnet50_fpn": ("model=retinanet", "backbone=resnet50", "model.neck.top_block.source=P5"),
}
BODIES = ("resnet18", "resnet50", "resnext101_64x4d", "regnet_x_3_2gf", "regnet_y_3_2gf")
CLASSIFIER = "fc."  # of ImageNet: not taken over


def build_theirs(name: str, **options: object) -> dict[str, Tensor]:
    device = "cpu" if name.startswith("regnet") else "meta"  # torchvision computes the widths of a RegNet by tensors
    with torch.device(device):
        network = torchvision.models.get_model(name, weights=None, **options)
    return dict(network.state_dict())


def build_ours(*overrides: str) -> nn.Module:
    with torch.device("meta"):
        return build("tier=paper", "backbone.weights=later", f"dataset.classes={CLASSES}", *overrides)


def find_table(source: str) -> NameTable:
    return next(table for table in TABLES if table.source == source)


def list_weights(names: Iterable[str]) -> set[str]:
    return {name for name in names if not name.endswith(COUNTER) and not name.startswith(CLASSIFIER)}


@pytest.mark.parametrize("name", DETECTORS)
def test_every_tensor_of_a_detector_has_a_place_and_the_other_way_round(name: str) -> None:
    theirs = build_theirs(name, weights_backbone=None, num_classes=CLASSES + 1)
    loaded = identify(theirs)
    table, overrides = find_table(loaded.source), DETECTORS[name]
    own = build_ours(*overrides).state_dict()
    assert loaded.unknown == []
    assert infer_overrides(loaded.state)[:2] == [*overrides[:2]]
    assert {table.our_name(name) for name in list_weights(theirs)} == list_weights(own)
    assert {table.their_name(name) for name in list_weights(own)} == list_weights(theirs)
    assert all(own[name].shape == value.shape for name, value in loaded.state.items() if name in own)


@pytest.mark.parametrize("name", BODIES)
def test_every_tensor_of_a_classifier_has_a_place_and_the_other_way_round(name: str) -> None:
    theirs = build_theirs(name)
    loaded = identify(theirs)
    table = find_table(loaded.source)
    body = name.replace("regnet_", "regnet")
    own = build_ours("model=faster_rcnn", f"backbone={body}").state_dict()
    places = {name for name in list_weights(own) if name.startswith("backbone.")}
    assert loaded.unknown == []
    assert {table.our_name(name) for name in list_weights(theirs)} == places
    assert {table.their_name(name) for name in places} == list_weights(theirs)
    assert all(own[name].shape == value.shape for name, value in loaded.state.items() if name in own)


def test_rows_of_torchvision_s_predictors_keep_their_class() -> None:
    """Background is their class 0; of RetinaNet every anchor has an unused class 0, as unlikely as a bias can say."""
    rows = torch.arange(4.0 * (CLASSES + 1)).reshape(-1, 1)
    state = {f"roi_heads.box_head.{layer}.0.weight": rows for layer in range(4)}
    predictors = {"box_predictor.cls_score": CLASSES + 1, "box_predictor.bbox_pred": len(rows)}
    predictors["mask_predictor.mask_fcn_logits"] = CLASSES + 1
    state |= {f"roi_heads.{name}.weight": rows[:count] for name, count in predictors.items()}
    loaded = identify(state)
    assert loaded.source == torchvision_variants.V2.source
    assert loaded.state["box.scores.weight"].flatten().tolist() == [1, 2, 3, 4, 5, 0]
    assert loaded.state["box.deltas.weight"].equal(rows[4:])
    assert loaded.state["heads.mask.masks.weight"].flatten().tolist() == [1, 2, 3, 4, 5]
    table = torchvision_variants.RETINANET
    bias = torch.arange(float(RETINANET_ANCHORS * (CLASSES + 1)))
    ours = table.layouts["head.scores.predictor"].to_ours(bias)
    assert ours.tolist() == [value for value in bias.tolist() if value % (CLASSES + 1)]
    back, _ = to_theirs(table, {"head.scores.predictor.bias": ours, "head.scores.predictor.weight": ours[:, None]})
    first = slice(None, None, CLASSES + 1)
    assert back["head.classification_head.cls_logits.bias"][first].tolist() == [-100.0] * RETINANET_ANCHORS
    assert back["head.classification_head.cls_logits.weight"][first].tolist() == [[0.0]] * RETINANET_ANCHORS


def test_files_from_before_torchvision_013_name_the_same_layers() -> None:
    """Its convolutions were not wrapped, and RetinaNet's subnets counted their ReLUs."""
    before = {
        "backbone.fpn.inner_blocks.3.weight": "neck.lateral.3.weight",
        "backbone.fpn.layer_blocks.2.bias": "neck.smooth.2.bias",
        "head.classification_head.conv.6.weight": "head.scores.convolutions.3.weight",
        "head.regression_head.conv.2.bias": "head.deltas.convolutions.1.bias",
    }
    assert {name: torchvision_variants.RETINANET.our_name(name) for name in before} == before
    assert names.DETECTION.our_name("rpn.head.conv.weight") == "proposals.convolution.weight"
    assert names.DETECTION.our_name("roi_heads.mask_head.mask_fcn4.bias") == "heads.mask.body.6.bias"


def test_pixels_and_settings_are_those_of_each_source() -> None:
    """ImageNet's numbers are of pixels from 0 to 1; Caffe's mean is that of py-faster-rcnn."""
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    assert IMAGENET.mean == pytest.approx([255 * value for value in mean])
    assert IMAGENET.std == pytest.approx([255 * value for value in std])
    assert (UNSCALED.mean, UNSCALED.std) == (IMAGENET.mean, (1, 1, 1))
    assert (CAFFE.mean, CAFFE.std) == ((122.7717, 115.9465, 102.9801), (1, 1, 1))
    centers = ((0.408, 0.447, 0.470), (0.289, 0.274, 0.278))  # of CenterNet's code, blue first
    for ours, published in zip((centernet.PIXELS.mean, centernet.PIXELS.std), centers, strict=True):
        assert ours == pytest.approx([255 * value for value in reversed(published)])
