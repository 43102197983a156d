"""Lists that were published elsewhere are those lists, number by number."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from cityscapesscripts.helpers.labels import labels
from torchvision import tv_tensors as tv
from torchvision.models.detection import KeypointRCNN_ResNet50_FPN_Weights
from torchvision.transforms.v2 import functional

from lineage.data.annotations.skeleton import read_skeleton
from lineage.data.formats import cityscapes, voc
from lineage.data.shapes import outlines
from lineage.data.transforms import crop
from lineage.data.transforms.colour_jitter import ColourJitter
from tests.data.samples import scene

BONES = """left_ankle-left_knee left_knee-left_hip right_ankle-right_knee right_knee-right_hip left_hip-right_hip
left_shoulder-left_hip right_shoulder-right_hip left_shoulder-right_shoulder left_shoulder-left_elbow
right_shoulder-right_elbow left_elbow-left_wrist right_elbow-right_wrist left_eye-right_eye nose-left_eye nose-right_eye
left_eye-left_ear right_eye-right_ear left_ear-left_shoulder right_ear-right_shoulder"""  # of COCO's person


def test_labels_of_cityscapes_are_those_of_its_scripts() -> None:
    things = {label.name: label.id for label in labels if label.hasInstances and not label.ignoreInEval}
    assert things == cityscapes.THINGS
    assert things | cityscapes.OTHERS == {label.name: label.id for label in labels}


def test_keypoints_and_bones_of_a_person_are_those_of_coco() -> None:
    names = KeypointRCNN_ResNet50_FPN_Weights.COCO_V1.meta["keypoint_names"]
    assert list(outlines.KEYPOINTS) == names
    other = {"left": "right", "right": "left"}
    mirrored = ["_".join(other.get(part, part) for part in name.split("_")) for name in names]
    assert [names[index] for index in outlines.FLIP_INDICES] == mirrored
    bones = read_skeleton([{"keypoints": outlines.KEYPOINTS, "skeleton": outlines.SKELETON}])
    assert [f"{names[first]}-{names[second]}" for first, second in bones] == BONES.split()


def test_voc_has_twenty_classes_by_the_alphabet() -> None:
    assert list(voc.CLASSES) == sorted(voc.CLASSES)
    assert len(set(voc.CLASSES)) == 20


def check_polygon(side: Any = 50, **entry: Any) -> bool:
    """Return whether a file of 50 x `side` pixels with one polygon is drawn."""
    fields = {"label": "car", "polygon": [[0, 0], [9, 9]], **entry}
    try:
        cityscapes.check_polygons({"imgWidth": 50, "imgHeight": side, "objects": [fields]})
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    ("fields", "is_drawn"),
    [
        ({}, True), ({"side": 1}, True), ({"side": 20_000}, True), ({"side": 20_001}, False), ({"side": 0}, False),
        ({"side": 50.0}, False), ({"side": True}, False), ({"label": 3}, False), ({"polygon": [[0, 0]]}, False),
        ({"polygon": [[100, -100], [0, 0.5]]}, True), ({"polygon": [[101, 0], [0, 0]]}, False),
        ({"polygon": [[0, 0], [0, -100.5]]}, False), ({"side": 80, "polygon": [[160, 0], [0, 0]]}, True),
        ({"polygon": [[0, 0, 0], [0, 0]]}, False), ({"polygon": [[0, "0"], [0, 0]]}, False),
        ({"polygon": [(0, 0), [0, 0]]}, False), ({"polygon": None}, False),
    ],
)  # fmt: skip
def test_polygons_of_cityscapes_reach_at_most_twice_the_image(fields: dict[str, Any], is_drawn: bool) -> None:
    assert check_polygon(**fields) == is_drawn


def test_sides_of_windows_are_whole_and_halves_are_rounded_up() -> None:
    for size in (crop.absolute((40, 60), size=[18.0, 27.0]), crop.relative((35, 53), shares=[18 / 35, 0.5])):  # type: ignore[list-item]
        assert size == (18, 27)
        assert [type(side) for side in size] == [int, int]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_brightness_contrast_and_saturation_are_torchvisions(
    monkeypatch: pytest.MonkeyPatch, order: tuple[int, ...]
) -> None:
    """Factors 0.8, 0.95 and 1.1 of a strength of 0.2; contrast is towards the mean grey."""
    sample = scene(1, 40, 60)
    image = 90 + sample.image // 4
    draws = iter([0.0, 0.375, 0.75])
    monkeypatch.setattr(torch, "randperm", lambda n: torch.tensor(order))
    monkeypatch.setattr(torch, "rand", lambda size: torch.tensor(next(draws)))
    jittered = ColourJitter(strength=0.2, lighting=0.0)(sample._replace(image=tv.Image(image))).image
    changes = (functional.adjust_brightness, functional.adjust_contrast, functional.adjust_saturation)
    expected = image / 255
    for change, factor in zip(order, (0.8, 0.95, 1.1), strict=True):
        expected = changes[change](expected, factor)
    assert (jittered.float() - 255 * expected).abs().max() < 0.6


def test_lighting_shifts_along_the_principal_components(monkeypatch: pytest.MonkeyPatch) -> None:
    """AlexNet, section 4.1: the sum of components times eigenvalue times share."""
    sample = scene(1, 40, 60)
    sample = sample._replace(image=tv.Image(torch.full((3, 40, 60), 100, dtype=torch.uint8)))
    monkeypatch.setattr(torch, "randn", lambda n: torch.tensor([1.0, -2.0, 30.0]))
    jittered = ColourJitter(strength=0.0, lighting=0.5)(sample).image
    red = -0.56089297 * 0.2141788 - 2 * 0.71832671 * 0.01817699 + 30 * 0.41158938 * 0.00341571
    green = -0.5832747 * 0.2141788 - 2 * 0.00994535 * 0.01817699 - 30 * 0.81221408 * 0.00341571
    blue = -0.58752847 * 0.2141788 + 2 * 0.69563484 * 0.01817699 + 30 * 0.41340352 * 0.00341571
    assert jittered[:, 7, 9].tolist() == [round(100 + 255 * 0.5 * shift) for shift in (red, green, blue)]
