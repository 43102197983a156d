"""Keypoint R-CNN against torchvision's at equal weights, and its options."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lineage.models.roi_heads.required_targets import UnlabelledError
from lineage.structures import Detections, Images, SampledProposals, Targets
from tests.models.compose import build
from tests.models.peers import AS_TORCHVISION, CANVAS, CLASSES, as_lists, assert_same_losses, convert_detector
from tests.models.scenes import batch
from tests.models.test_parity import SIZES, theirs

DETECTIONS = 20


def scene(counts: list[int]) -> tuple[Images, Targets]:
    """Keypoints anywhere in their object, some outside, with every visibility."""
    images, targets = batch(SIZES, counts, CLASSES, canvas=CANVAS)
    generator = torch.Generator().manual_seed(5)
    share = torch.rand(*targets.labels.shape, 17, 2, generator=generator) * 1.2 - 0.1
    low, high = targets.boxes[..., None, :2], targets.boxes[..., None, 2:]
    seen = torch.randint(0, 3, (*targets.labels.shape, 17, 1), generator=generator)
    return images, targets._replace(keypoints=torch.cat((low + share * (high - low), seen.float()), -1))


@pytest.fixture(scope="module")
def pair() -> tuple[nn.Module, nn.Module]:
    reference = theirs("keypointrcnn_resnet50_fpn")
    reference.roi_heads.detections_per_img = DETECTIONS
    model = build("model=keypoint_rcnn", *AS_TORCHVISION, f"model.box.detections_per_img={DETECTIONS}")
    model.load_state_dict(convert_detector(reference.state_dict()))
    return reference, model.eval()


@pytest.mark.slow
@torch.no_grad()
def test_detections_equal_torchvision(pair: tuple[nn.Module, nn.Module]) -> None:
    reference, model = pair
    images, targets = scene([3, 2, 1])
    found = model.detect(images)
    for image, wanted in enumerate(reference(as_lists(images, targets)[0])):
        valid = found.valid[image]
        assert valid.sum() == len(wanted["boxes"]) == DETECTIONS
        points = found.keypoints[image][valid]
        near = (points[..., :2] - wanted["keypoints"][..., :2]).abs().amax(-1) < 0.01
        # boxes agree to 1e-3, so a peak as high as another a pixel away may be either
        assert near.float().mean() > 0.98
        torch.testing.assert_close(points[..., 2], wanted["keypoints_scores"], atol=1e-3, rtol=1e-3)


@pytest.mark.slow
def test_losses_equal_torchvision_on_equal_samples(pair: tuple[nn.Module, nn.Module]) -> None:
    images, targets = scene([5, 3, 0])
    assert_same_losses(*pair, images, targets)
    assert pair[1].losses(images, targets)["roi_keypoint"].normalizer > 40


def test_parameters_equal_the_published_count() -> None:
    """59,137,258 (torchvision.models, KeypointRCNN_ResNet50_FPN_Weights), of which 4 x 1025 are a box of background."""
    model = build("model=keypoint_rcnn", "tier=paper", "dataset.classes=1", "backbone.weights=null",
                  "backbone.norm=bn", "backbone.frozen_stages=0")  # fmt: skip
    norms = sum(p.numel() for m in model.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters())
    assert sum(p.numel() for p in model.parameters()) - norms + 4 * 1025 == 59_137_258


def head(**options: object) -> nn.Module:
    return build("model=keypoint_rcnn", *(f"model.heads.keypoint.{key}={value}" for key, value in options.items()))


def small(labels: list[list[int]]) -> tuple[list[torch.Tensor], SampledProposals]:
    boxes = torch.tensor([[8.0, 8.0, 60.0, 90.0]]).expand(1, len(labels[0]), 4)
    there = torch.ones(1, len(labels[0]), dtype=torch.bool)
    return [torch.randn(1, 64, 128 // s, 128 // s) for s in (4, 8, 16, 32)], SampledProposals(
        boxes, there, torch.tensor(labels), torch.zeros(1, len(labels[0]), dtype=torch.int64)
    )


def labelled(seen: int) -> Targets:
    empty = torch.zeros(1, 8, dtype=torch.bool)
    points = torch.tensor([30.0, 40.0, float(seen)]).expand(1, 8, 17, 3)
    return Targets(torch.zeros(1, 8, 4), empty.long(), empty, empty, None, points)


def test_the_two_normalisations_differ_by_their_counts_only() -> None:
    torch.manual_seed(0)
    model = head()
    features, rois = small([[0, 4]])  # the second is background
    visible = model.heads.keypoint.losses(features, rois, labelled(2), None)["roi_keypoint"]
    model.heads.keypoint.loss_normalizer = "slots"
    slots = model.heads.keypoint.losses(features, rois, labelled(2), None)["roi_keypoint"]
    assert (visible.normalizer, slots.normalizer) == (17, 34)
    assert visible.sum == slots.sum > 0


def test_what_nobody_labelled_costs_nothing() -> None:
    features, rois = small([[0, 1]])
    loss = head().heads.keypoint.losses(features, rois, labelled(0), None)["roi_keypoint"]
    assert (loss.sum, loss.normalizer) == (0, 0)


def test_a_probability_is_that_of_the_peak() -> None:
    torch.manual_seed(0)
    model = head(score="probability")
    features, rois = small([[0, 1]])
    nothing = torch.zeros(1, 2)
    found = Detections(rois.boxes, nothing, nothing.long(), rois.valid, nothing.long(), torch.zeros(1, 2, 5))
    score = model.heads.keypoint.detect(features, found).keypoints[..., 2]
    assert ((score > 0) & (score < 1)).all()


def test_errors_say_what_to_do() -> None:
    features, rois = small([[0]])
    with pytest.raises(UnlabelledError, match="no keypoints"):
        head().heads.keypoint.losses(features, rois, labelled(2)._replace(keypoints=None), None)
    with pytest.raises(Exception, match="loss_normalizer=sum: choose visible or slots"):
        head(loss_normalizer="sum")
    with pytest.raises(Exception, match="score=sum: choose logit or probability"):
        head(score="sum")
