"""Drawn garments: landmarks lie in the slots of their class, hide, mirror and score as those of DeepFashion2."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from lineage.data.samples.metadata import parse_meta
from lineage.data.shapes import garment_outlines as garments
from lineage.data.shapes.garments import Garments
from lineage.data.transforms.flip import flip
from lineage.eval.document import CocoDocument, DocumentMeta
from lineage.eval.protocols.coco import CocoScorer, score_coco
from lineage.report.pictures import mark_predictions, mark_truth
from tests.data.test_drawn_files import assert_equal

COUNT = 30
GOLDEN = {
    "labels": 125,
    "boxes": 17666.0,
    "areas": 132390,
    "keypoints": 96176.0,
    "pixels": 24027.15277,
}  # of the COUNT scenes


@pytest.fixture(scope="module")
def dataset() -> Garments:
    return Garments(seed=7, length=COUNT)


def test_the_scenes_are_those_of_every_earlier_run(dataset: Garments) -> None:
    """Another sum here is another dataset. A rounding of another processor may move a pixel."""
    scenes = [dataset.draw_scene(index) for index in range(COUNT)]
    position = np.arange(128 * 128 * 3).reshape(128, 128, 3) % 251
    sums = {
        "labels": sum(int(scene.labels.sum()) for scene in scenes),
        "boxes": sum(float(scene.boxes.sum()) for scene in scenes),
        "areas": sum(int(scene.masks.sum()) for scene in scenes),
        "keypoints": sum(float(scene.keypoints.sum()) for scene in scenes),
        "pixels": sum(float((scene.image * position).sum()) for scene in scenes) / 1e6,
    }
    assert sums == pytest.approx(GOLDEN, rel=2e-5)


def test_each_class_has_slots_of_its_own(dataset: Garments) -> None:
    meta = dataset.meta
    slots = [slot for label in range(5) for slot in meta.keypoint_slots(label)]
    assert slots == [*range(len(meta.keypoints))]
    assert parse_meta(asdict(meta)) == meta
    labelled = set()
    for index in range(COUNT):
        sample = dataset[index]
        assert sample.visibility is not None
        for label, visibility in zip(sample.labels.tolist(), sample.visibility, strict=True):
            own = {int(slot) for slot in visibility.nonzero()[:, 0]}
            assert own <= {*meta.keypoint_slots(label)}
            labelled |= own
    assert labelled == {*slots}


def test_landmarks_are_hidden_behind_other_garments_only(dataset: Garments) -> None:
    """A landmark is a corner of an outline, so a visible one is next to its mask, unless only the corner is seen."""
    counts, adjacent = {1: 0, 2: 0}, 0
    for index in range(COUNT):
        scene = dataset.draw_scene(index)
        for mask, points in zip(scene.masks, scene.keypoints, strict=True):
            near = np.pad(mask, 2)
            near = sum(np.roll(near, (y, x), (0, 1)) for y in range(-2, 3) for x in range(-2, 3))[2:-2, 2:-2] > 0
            for x, y, visibility in points[points[:, 2] > 0].tolist():
                counts[int(visibility)] += 1
                assert not (visibility == 1 and mask[int(y), int(x)])
                adjacent += int(visibility == 2 and near[int(y), int(x)])
    assert adjacent > 0.98 * counts[2]
    assert counts[1] > 20
    assert counts[2] > 400


def test_a_mirror_exchanges_left_and_right_within_a_class(dataset: Garments) -> None:
    meta = dataset.meta
    order = np.array(meta.flip_indices)
    assert (order[order] == np.arange(len(order))).all()
    assert all({*order[[*meta.keypoint_slots(label)]]} == {*meta.keypoint_slots(label)} for label in range(5))
    assert np.allclose(np.array(meta.sigmas)[order], meta.sigmas)
    sides = {"left": 1.0, "right": -1.0}
    for sample in (dataset[0], flip(dataset[0], meta.flip_indices)):
        assert sample.keypoints is not None
        assert sample.visibility is not None
        for label, points, visibility in zip(sample.labels, sample.keypoints, sample.visibility, strict=True):
            named = [meta.keypoints[slot].rpartition("_")[2] for slot in meta.keypoint_slots(int(label))]
            x = [float(points[slot][0]) for slot in meta.keypoint_slots(int(label))]
            signs = [sides.get(name, 0.0) * (bool(visibility[slot])) for name, slot in
                     zip(named, meta.keypoint_slots(int(label)), strict=True)]  # fmt: skip
            if 1.0 in signs and -1.0 in signs:
                left = np.mean([at for at, sign in zip(x, signs, strict=True) if sign > 0])
                right = np.mean([at for at, sign in zip(x, signs, strict=True) if sign < 0])
                assert left > right, "the wearer's left is on our right, in a mirror too"


def test_annotations_score_a_shift_as_the_formula_does(dataset: Garments) -> None:
    """All landmarks of one garment moved by d: OKS = mean exp(-d^2 / (2 area (2 sigma)^2)), area = that of the box."""
    truth = dataset.ground_truth()
    annotation = max(truth["annotations"], key=lambda one: one["num_keypoints"])
    assert annotation["area"] == annotation["bbox"][2] * annotation["bbox"][3]
    points = np.array(annotation["keypoints"], float).reshape(-1, 3)
    labelled = points[:, 2] > 0
    shift = 2.0
    variances = (2 * np.array(garments.TOLERANCES)[labelled]) ** 2
    similarity = float(np.exp(-(shift**2) / (2 * annotation["area"] * variances)).mean())
    image = [one for one in truth["images"] if one["id"] == annotation["image_id"]]
    document = {**truth, "images": image, "annotations": [annotation]}
    record = {"image_id": image[0]["id"], "category_id": annotation["category_id"], "score": 1.0}
    scorer = CocoScorer(dataset=CocoDocument(document, DocumentMeta((1, 2, 3, 4, 5))), tasks=["keypoint"])
    moved = points + (labelled[:, None] * (shift, 0, 0))
    results = scorer.truths["keypoint"].load_res([record | {"keypoints": moved.ravel().tolist()}])
    metrics = score_coco(scorer.truths["keypoint"], results, "keypoint", sigmas=scorer.sigmas).metrics
    passed = sum(similarity >= threshold for threshold in np.arange(0.5, 1.0, 0.05))
    assert 1 <= passed <= 9
    assert metrics["keypoint/AP"] == pytest.approx(10 * passed)


def test_a_stored_sample_is_the_drawn_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINEAGE_CACHE", str(tmp_path))
    drawn = Garments(seed=3, length=2)[1]
    monkeypatch.setattr(Garments, "_draw", lambda *_: pytest.fail("drawn again"))
    assert_equal(Garments(seed=3, length=9)[1], drawn)


def test_pictures_show_the_landmarks_of_the_class_alone(dataset: Garments) -> None:
    """A head predicts all 58 landmarks of each object; those of other classes mean nothing."""
    meta = dataset.meta
    points = torch.arange(3 * len(meta.keypoints)).tolist()
    record = {"category_id": 3, "score": 0.9, "bbox": [0, 0, 9, 9], "keypoints": points}
    (mark,) = mark_predictions([record], meta)
    slots = meta.keypoint_slots(2)
    assert mark.keypoints == tuple((3 * slot + 0.5, 3 * slot + 1.5) for slot in slots)
    assert len(mark.skeleton) == len(slots), "the outline is closed"
    assert len(mark_truth(dataset[0], meta)) == len(dataset[0].labels)


@pytest.mark.parametrize(("options", "message"), [({"length": 0}, "length=0"), ({"size": 8}, "size=8")])
def test_bad_options_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Garments(**{"seed": 1, "length": 2} | options)
