"""The explained scalar is that of the detection: its score and its box come out of one region."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lineage.explain import gradients
from lineage.explain.detectors import TwoStage, UnsupportedModel, adapt_detector
from lineage.explain.methods import explain
from lineage.explain.targets import DetectionOutput, UnknownTarget, class_logit, contrast, parse_target
from lineage.models.proposals.rpn import RPN
from lineage.ops import boxes as box_ops
from lineage.structures import Images
from tests.models.compose import build
from tests.trained import spread


def drawing(side: int = 96) -> Images:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (1, 3, 6, 6), generator=generator).float()
    pixels = torch.nn.functional.interpolate(pixels, size=(side, side), mode="bilinear").to(torch.uint8)
    return Images(pixels, torch.tensor([[float(side), float(side)]]), torch.zeros(1, dtype=torch.int64))


def network(model: str, *overrides: str) -> torch.nn.Module:
    torch.manual_seed(0)
    built = spread(build(f"model={model}", "tier=mini", *overrides)).eval()
    if model == "centernet":  # sizes start at 0, and boxes without an area are none
        torch.nn.init.constant_(built.head.sizes[0][-1].bias, 4.0)
    return built


@pytest.mark.parametrize(
    "model", ["mask_rcnn", "retinanet", "mask_rcnn_c4", "mask_rcnn_c5", "faster_rcnn_vgg", "pointrend", "centernet"]
)
def test_the_region_reproduces_score_and_box_of_the_detection(model: str) -> None:
    images, detector = drawing(), adapt_detector(network(model))
    detections, regions = detector.detect(images)
    expected = detector.model.detect(images)
    assert torch.equal(detections.boxes, expected.boxes)
    assert int(detections.valid.sum()) > 1
    for slot in (0, 1):
        with torch.no_grad():
            outputs = detector.predict(detector.features(images), regions[slot])
        row = outputs.logits.sigmoid() if model in ("retinanet", "centernet") else outputs.logits.softmax(0)
        assert float(row[regions[slot].label]) == pytest.approx(float(detections.scores[0, slot]), abs=1e-5)
        inside = outputs.box.clamp(0, 96)
        torch.testing.assert_close(inside, detections.boxes[0, slot], rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("ensemble", ["each", "shared", "last"])
def test_stages_of_a_cascade_reproduce_the_score(ensemble: str) -> None:
    """The mean of the stages' probabilities, each on its own region or all on the last, is the score."""
    images = drawing()
    detector = adapt_detector(network("cascade_rcnn", f"model.box.ensemble={ensemble}"))
    assert isinstance(detector, TwoStage)
    detections, regions = detector.detect(images)
    region = regions[0]
    assert region.boxes.shape == (3, 1, 1, 4)
    inputs = region.boxes if ensemble == "each" else region.boxes[-1:].expand(3, 1, 1, 4)
    with torch.no_grad():
        features = detector.features(images)
        logits = [head.logits(features, box)[0, 0] for head, box in zip(detector.stages, inputs, strict=True)]
        outputs = detector.predict(features, region)
    used = torch.stack(logits[-1:] if ensemble == "last" else logits)
    torch.testing.assert_close(outputs.logits, used.mean(0))
    score = used.softmax(-1).mean(0)[region.label]
    assert float(score) == pytest.approx(float(detections.scores[0, 0]), abs=1e-5)
    torch.testing.assert_close(outputs.box.clamp(0, 96), detections.boxes[0, 0], rtol=1e-4, atol=1e-2)


def test_a_cam_reads_the_level_of_its_anchor_or_proposal() -> None:
    detector = adapt_detector(network("retinanet"))
    images = drawing()
    _, regions = detector.detect(images)
    output = DetectionOutput(detector, images, regions[0], class_logit)
    features = [feature.detach().requires_grad_(True) for feature in output.features(output.pixels)]
    used = torch.autograd.grad(output.score(features), features, allow_unused=True, materialize_grads=True)
    assert sum(bool(gradient.any()) for gradient in used) == 1


def test_the_gradient_of_a_detector_equals_central_differences() -> None:
    detector = adapt_detector(network("mask_rcnn").double())
    images = drawing()
    images = images._replace(pixels=images.pixels.double())
    _, regions = detector.detect(images)
    output = DetectionOutput(detector, images, regions[0], class_logit)
    gradient = gradients.compute_gradient(output) / output.std
    row, column = divmod(int(gradient[0].abs().argmax()), 96)

    def score(pixels: Tensor) -> float:
        return float(output.score(output.features(pixels)).detach())

    offset = torch.zeros_like(output.pixels)
    offset[0, 0, row, column] = 1e-2
    difference = (score(output.pixels + offset) - score(output.pixels - offset)) / 2e-2
    assert difference == pytest.approx(float(gradient[0, row, column]), rel=0.05)


def test_contrast_subtracts_the_largest_other_logit() -> None:
    detector = adapt_detector(network("mask_rcnn"))
    images = drawing()
    _, regions = detector.detect(images)
    with torch.no_grad():
        features = detector.features(images)
        logits = detector.predict(features, regions[0]).logits
    others = [float(value) for index, value in enumerate(logits) if index != regions[0].label]
    expected = float(logits[regions[0].label]) - max(others)
    assert float(contrast(detector, features, regions[0]).detach()) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("target", ["x1", "y2", "mask", "keypoint", "keypoint:3"])
def test_targets_have_maps(target: str) -> None:
    detector = adapt_detector(network("mask_keypoint_rcnn", "dataset.classes=1"))
    images = drawing()
    _, regions = detector.detect(images)
    maps = explain(DetectionOutput(detector, images, regions[0], parse_target(target)), ["gradient", "odam"])
    assert float(maps["gradient"].values.max()) > 0


@pytest.mark.parametrize(
    ("model", "overrides"),
    [("mask_rcnn", ()), ("mask_rcnn_mlp", ()), ("pointrend", ()), ("cascade_mask_rcnn_staged", ()),
     ("mask_rcnn", ("model.heads.mask._target_=lineage.models.roi_heads.mask_softmax.SoftmaxMaskHead",))],
)  # fmt: skip
def test_the_target_mask_is_the_mask_of_the_detection(model: str, overrides: tuple[str, ...]) -> None:
    """Sum the positive log odds of the probabilities, whatever the mask head; the gradient is not 0."""
    images, detector = drawing(), adapt_detector(network(model, *overrides))
    detections, regions = detector.detect(images)
    assert detections.masks is not None
    slot = int(detections.masks[0].amax((1, 2)).argmax())
    expected = detections.masks[0, slot].double().logit().clamp(min=0).sum()
    output = DetectionOutput(detector, images, regions[slot], parse_target("mask"))
    assert float(expected) > 0
    assert float(output.score(output.features(output.pixels)).detach()) == pytest.approx(float(expected), rel=1e-3)
    assert float(gradients.map_gradient(output).max()) > 0


def test_the_gradient_of_a_subdivided_mask_equals_central_differences() -> None:
    """PointRend, along the gradient: bilinear logits of the coarse mask and those of its points, at constant places."""
    detector, images = adapt_detector(network("pointrend")), drawing()
    _, regions = detector.detect(images)
    output = DetectionOutput(detector, images, regions[0], parse_target("mask"))
    gradient = gradients.compute_gradient(output) / output.std
    step = 0.5 * gradient[None] / gradient.norm()
    with torch.no_grad():
        above, below = (float(output.score(output.features(output.pixels + sign * step))) for sign in (1, -1))
    assert above - below == pytest.approx(float(gradient.norm()), rel=0.02)


def test_a_target_that_the_model_has_not_is_refused() -> None:
    detector = adapt_detector(network("retinanet"))
    images = drawing()
    _, regions = detector.detect(images)
    with pytest.raises(UnknownTarget, match="it has no masks; choose class"):
        parse_target("mask")(detector, detector.features(images), regions[0])
    with pytest.raises(UnknownTarget, match=r"x3.*choose one of class"):
        parse_target("x3")


def test_a_model_without_logits_of_a_region_is_refused() -> None:
    with pytest.raises(UnsupportedModel, match="IntegralBoxHead cannot be explained"):
        adapt_detector(network("integral_rcnn"))


def test_the_overlap_of_a_box_with_itself_is_no_target() -> None:
    """It is at its maximum: the gradient, by halves at each tie of sides, is 0."""
    box = torch.tensor([[[3.0, 4.0, 20.0, 31.0]]], requires_grad=True)
    box_ops.iou(box, box.detach()).sum().backward()
    assert box.grad is not None
    torch.testing.assert_close(box.grad, torch.zeros_like(box))
    with pytest.raises(UnknownTarget, match=r"target overlap: .* choose a side of the box: x1, y1"):
        parse_target("overlap")


@pytest.mark.parametrize("model", ["mask_rcnn", "mask_rcnn_c4", "cascade_rcnn"])
def test_the_target_proposal_is_the_objectness_by_which_it_was_ranked(model: str) -> None:
    images, detector = drawing(), adapt_detector(network(model))
    _, regions = detector.detect(images)
    features = detector.features(images)
    rpn = detector.model.proposals
    assert isinstance(rpn, RPN)
    with torch.no_grad():
        proposals = rpn.propose(images, features)
    for region in regions[:3]:
        assert region.anchor is not None
        logit = float(parse_target("proposal")(detector, features, region).detach())
        assert logit == pytest.approx(float(proposals.scores[0, region.number]), abs=1e-5)
    maps = explain(DetectionOutput(detector, images, regions[0], parse_target("proposal")), ["gradient", "odam"])
    assert float(maps["gradient"].values.max()) > 0


def test_only_an_rpn_has_the_target_proposal() -> None:
    for model, reason in (("retinanet", "it has no proposals"), ("centernet", "it has no proposals")):
        detector = adapt_detector(network(model))
        images = drawing()
        _, regions = detector.detect(images)
        with pytest.raises(UnknownTarget, match=reason):
            parse_target("proposal")(detector, detector.features(images), regions[0])


@pytest.mark.parametrize("target", ["keypoint", "keypoint:5"])
def test_landmarks_of_a_centernet_are_no_target(target: str) -> None:
    """It has some: the refusal says that they cannot be a target, not that there are none."""
    detector = adapt_detector(network("centernet_pose", "dataset.classes=1"))
    images = drawing()
    _, regions = detector.detect(images)
    with pytest.raises(UnknownTarget, match="landmarks of a CenterNet, such as DeepMark's, cannot be a target; choose"):
        parse_target(target)(detector, detector.features(images), regions[0])
