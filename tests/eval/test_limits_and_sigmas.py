"""Limits of detections, tolerances of keypoints, empty results: what scores say about themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.cocoeval import Params

from lineage.cli import main
from lineage.eval.document import CocoDocument, DocumentMeta
from lineage.eval.files.score_file import score_file
from lineage.eval.keypoint_sigmas import COCO_NAMES, SIGMAS
from lineage.eval.protocols.coco import CocoScorer
from tests.eval.ties import Record, case, official, only

CROWDPOSE = ["left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip",
             "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle", "head", "neck"]  # fmt: skip
CROWDPOSE_SIGMAS = [0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089, 0.079, 0.079]


def many(count: int) -> tuple[Record, list[Record]]:
    """One image with `count` objects of a class and perfect detections of them."""
    boxes = [[10 * (i % 20), 10 * (i // 20), 8, 8] for i in range(count)]
    note = {"image_id": 1, "category_id": 1, "area": 64, "iscrowd": 0}
    truth = {
        "images": [{"id": 1, "height": 400, "width": 400}],
        "annotations": [note | {"id": i, "bbox": box} for i, box in enumerate(boxes, 1)],
        "categories": [{"id": 1, "name": "seed"}],
    }
    record = {"image_id": 1, "category_id": 1}
    return truth, [record | {"bbox": box, "score": 1 - i / 1000} for i, box in enumerate(boxes)]


def scored(path: Path, truth: Record, records: list[Record], **options: Any) -> Any:
    path.write_text(json.dumps(records))
    return score_file(path, truth, **options)


def test_a_limit_that_hides_objects_is_named_and_can_be_raised(tmp_path: Path) -> None:
    truth, records = many(200)
    scores = scored(tmp_path / "results.json", truth, records)
    assert scores.metrics["box/AP"] == pytest.approx(100 * 51 / 101)  # recalls 0, .01, ... .5
    assert "100 objects of 1 images cannot be found" in scores.notes[0]
    assert "max_detections=200" in scores.notes[0]
    raised = scored(tmp_path / "results.json", truth, records, max_detections=200, extras=["lrp", "tide"])
    assert raised.metrics["box/AP"] == raised.metrics["box/AR200"] == pytest.approx(100)
    assert raised.metrics["box/oLRP"] == pytest.approx(0)
    assert raised.metrics["box/dAP_missed"] == pytest.approx(0)
    assert raised.notes == ()
    assert "box/AR100" not in raised.metrics
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    argv = [str(tmp_path / "results.json"), "--annotations", str(tmp_path / "truth.json"), "--max-detections", "200"]
    assert main.main(["evaluate", *argv]) == 0


def test_the_limit_is_part_of_the_protocol() -> None:
    truth, _ = many(3)
    dataset = CocoDocument(truth, DocumentMeta((1,)))
    limits = CocoScorer(dataset=dataset, max_detections=500).protocol["tasks"]["box"]["max_detections"]
    assert limits == [1, 10, 500]
    assert CocoScorer(dataset=dataset).protocol["tasks"]["box"]["max_detections"] == [1, 10, 100]


def by_hand(truth: Record, records: list[Record], sigmas: list[float]) -> float:
    """OKS of one object and one detection, COCO's formula written out."""
    (annotation,), (record,) = truth["annotations"], records
    gt, dt = (np.array(one["keypoints"], float).reshape(-1, 3) for one in (annotation, record))
    labelled = gt[:, 2] > 0
    distance = ((gt - dt)[:, :2] ** 2).sum(1)
    return float(np.exp(-distance / (2 * np.array(sigmas)) ** 2 / annotation["area"] / 2)[labelled].mean())


def pose(points: int, names: list[str] | None, shift: float = 4.0) -> tuple[Record, list[Record]]:
    rng = np.random.default_rng(0)
    at = rng.random((points, 2)) * 80
    keypoints = np.concatenate([at, np.full((points, 1), 2)], 1)
    moved = np.concatenate([at + np.array([shift, 0]), np.ones((points, 1))], 1)
    note = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 80, 80], "area": 6400, "iscrowd": 0}
    truth = {
        "images": [{"id": 1, "height": 100, "width": 100}],
        "annotations": [note | {"keypoints": keypoints.ravel().tolist(), "num_keypoints": points}],
        "categories": [{"id": 1, "name": "person"} | ({} if names is None else {"keypoints": names})],
    }
    return truth, [{"image_id": 1, "category_id": 1, "score": 1.0, "keypoints": moved.ravel().tolist()}]


@pytest.mark.parametrize(
    ("names", "options", "sigmas", "noted"),
    [
        (CROWDPOSE, {}, CROWDPOSE_SIGMAS, False),
        (None, {}, [0.05] * 14, True),
        (["a"] * 14, {}, [0.05] * 14, True),
        (CROWDPOSE, {"sigmas": [0.03] * 14}, [0.03] * 14, False),
    ],
)
def test_each_keypoint_has_its_own_sigma(
    names: list[str] | None, options: Record, sigmas: list[float], noted: bool, tmp_path: Path
) -> None:
    """The engine gets them: moved by 4 pixels, the similarity is that of the formula, and AP counts its thresholds."""
    for shift in (2.0, 4.0, 8.0):
        truth, records = pose(14, names, shift)
        scores = scored(tmp_path / "results.json", truth, records, tasks=["keypoint"], **options)
        similarity = by_hand(truth, records, sigmas)
        passed = sum(similarity >= threshold for threshold in np.linspace(0.5, 0.95, 10))
        assert scores.metrics["keypoint/AP"] == pytest.approx(10 * passed), (shift, similarity)
        assert any("no sigmas are known" in note for note in scores.notes) == noted
    scorer = CocoScorer(dataset=CocoDocument(truth, DocumentMeta((1,))), tasks=["keypoint"], **options)
    assert scorer.protocol["tasks"]["keypoint"]["sigmas"] == sigmas


def test_listed_sigmas_are_those_of_coco_and_crowdpose() -> None:
    """crowdposetools has 0.079 for the head and the neck, under the names of several datasets."""
    coco = dict(zip(COCO_NAMES, Params("keypoints").kpt_oks_sigmas.tolist(), strict=True))
    others = dict.fromkeys(("head", "top_head", "head_top", "neck"), 0.079)
    assert pytest.approx(coco | others, abs=1e-12) == SIGMAS


def test_sigmas_of_the_dataset_reach_the_engine() -> None:
    truth, records = pose(5, None, 4.0)
    scorer = CocoScorer(dataset=CocoDocument(truth, DocumentMeta((1,), (0.2,) * 5)), tasks=["keypoint"])
    assert scorer.sigmas == [0.2] * 5
    results = scorer.truths["keypoint"].load_res(records)
    assert results is not None
    assert by_hand(truth, records, [0.2] * 5) > 0.95


def test_categories_with_different_numbers_of_keypoints(tmp_path: Path) -> None:
    """Legal in COCO: a person of 14 keypoints and a dog of 3, each found where it is."""
    truth, records = pose(14, CROWDPOSE, 0.0)
    dog = {"id": 2, "image_id": 1, "category_id": 2, "bbox": [0, 0, 9, 9], "area": 81, "iscrowd": 0, "num_keypoints": 3,
           "keypoints": [1, 1, 2, 5, 5, 2, 8, 8, 2]}  # fmt: skip
    truth["annotations"].append(dog)
    truth["categories"].append({"id": 2, "name": "dog", "keypoints": ["nose", "back", "tail"]})
    records.append({"image_id": 1, "category_id": 2, "score": 0.5, "keypoints": dog["keypoints"]})
    scores = scored(tmp_path / "results.json", truth, records, tasks=["keypoint"])
    assert scores.metrics["keypoint/AP"] == pytest.approx(100)


def test_sigmas_of_a_category_reach_the_engine(tmp_path: Path) -> None:
    truth, records = pose(5, ["a", "b", "c", "d", "e"], 4.0)
    truth["categories"][0]["sigmas"] = [0.2] * 5
    scores = scored(tmp_path / "results.json", truth, records, tasks=["keypoint"])
    assert by_hand(truth, records, [0.2] * 5) > 0.95
    assert scores.metrics["keypoint/AP"] == pytest.approx(100)
    assert scores.notes == ()


def test_sigmas_that_are_not_the_official_ones_are_noted(tmp_path: Path) -> None:
    truth, records = pose(14, CROWDPOSE, 0.0)
    (area,) = scored(tmp_path / "results.json", truth, records, tasks=["keypoint"]).notes
    assert "crowdposetools takes 0.53" in area
    truth["categories"].append({"id": 2, "name": "dog", "keypoints": ["nose", "tail"]})
    notes = scored(tmp_path / "results.json", truth, records, tasks=["keypoint"]).notes
    assert any("the keypoints of dog have the sigmas of left_shoulder" in note for note in notes)


def test_no_detection_is_a_valid_result(tmp_path: Path) -> None:
    truth, _ = case(3)
    metrics = scored(tmp_path / "results.json", truth, []).metrics
    assert metrics["box/AP"] == metrics["mask/AP"] == metrics["box/AR100"] == 0
    for protocol, name in (("voc", "voc/mAP"), ("cityscapes", "mask/AP"), ("proposals", "box/AR100")):
        assert scored(tmp_path / "results.json", truth, [], protocol=protocol).metrics[name] == 0


def test_a_lone_box_is_no_proof_of_another_notation(tmp_path: Path) -> None:
    """It reaches three pixels outside of 640 x 480, and would fit as corners."""
    note = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 640, 480], "area": 307200, "iscrowd": 0}
    truth = {"images": [{"id": 1, "height": 480, "width": 640}], "annotations": [note],
             "categories": [{"id": 1, "name": "room"}]}  # fmt: skip
    record = {"image_id": 1, "category_id": 1, "score": 1.0}
    for box in ([3, 3, 640, 478], [0, 0, 1, 1]):
        records = [record | {"bbox": box}]
        metrics = scored(tmp_path / "results.json", truth, records).metrics
        assert metrics["box/AP"] == pytest.approx(100 * official(truth, records, "bbox")[0])
    with pytest.raises(ValueError, match="3 of 3 boxes reach outside their image"):
        scored(tmp_path / "results.json", truth, [record | {"bbox": box} for box in [[300, 300, 640, 478]] * 3])


def test_a_null_geometry_is_an_absent_one(tmp_path: Path) -> None:
    truth, found = case(3)
    records = only(found, "bbox")
    expected = scored(tmp_path / "results.json", truth, records).metrics
    nulls = [record | {"segmentation": None, "keypoints": None} for record in records]
    assert scored(tmp_path / "results.json", truth, nulls).metrics == pytest.approx(expected, nan_ok=True)


def test_records_left_out_and_sizes_of_boxes_are_named(tmp_path: Path) -> None:
    truth, found = case(3)
    records = [{key: value for key, value in one.items() if key != "area"} for one in found]
    del records[0]["segmentation"]
    notes = scored(tmp_path / "results.json", truth, records, tasks=["mask"]).notes
    assert any(f"1 of {len(records)} records have no segmentation" in note for note in notes)
    assert any(note.startswith("deviates: the size of a mask is its own") for note in notes)
