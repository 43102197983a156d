"""The numbers that COCO's authors published for their example results, reproduced by program."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as mask_api
import pytest

from lineage.eval.files.score_file import score_file
from tests.eval.ties import official


@pytest.mark.parametrize(("task", "name"), [("box", "bbox"), ("mask", "segm")])
def test_cocoapi_example_results(task: str, name: str, real_data: Path) -> None:
    folder = real_data / "coco_eval_cases" / "tests" / "dataset" / "cocoapi"
    metrics = score_file(
        folder / f"instances_val2014_fake{name}100_results.json", folder / "instances_val2014_100.json"
    ).metrics
    text = (real_data / "cocoapi_results" / "results" / "val2014_fake_eval_res.txt").read_text()
    printed = re.findall(r"= (-?\d\.\d{3})", text.partition(f"type={name}\n")[2])[:12]
    assert [f"{value / 100:.3f}" for value in metrics.values()] == printed
    assert list(metrics)[:3] == [f"{task}/AP", f"{task}/AP50", f"{task}/AP75"]


def test_keypoint_example_results(real_data: Path) -> None:
    folder = real_data / "coco_keypoint_cases" / "annotations"
    metrics = score_file(folder / "example_coco_preds.json", folder / "example_coco_val.json").metrics
    expected = {"AP": 0.8609, "AP50": 0.9931, "AP75": 0.9109, "APm": 0.7756, "APl": 0.9373, "AR": 0.875}
    assert {key: round(metrics[f"keypoint/{key}"] / 100, 4) for key in expected} == expected


def test_keypoints_equal_pycocotools(real_data: Path) -> None:
    folder = real_data / "coco_keypoint_cases" / "annotations"
    files = folder / "example_coco_preds.json", folder / "example_coco_val.json"
    found, truth = (json.loads(file.read_text()) for file in files)
    values = np.array([*score_file(*files).metrics.values()]) / 100
    np.testing.assert_allclose(values, official(truth, found, "keypoints"), rtol=0, atol=1e-12)


@pytest.mark.parametrize("split", ["train", "val"])
def test_detections_of_a_small_detector_on_coco_mini(split: str, real_data: Path) -> None:
    folder = real_data / "coco_mini_detections"
    expected = json.loads((folder / "expected_pycocotools_stats.json").read_text())[f"coco-mini-{split}"]["stats"]
    truth = real_data / "coco_mini" / "annotations" / f"instances_{split}2017.json"
    metrics = score_file(folder / f"coco-mini-{split}_bbox.json", truth).metrics
    assert [round(value / 100, 6) for value in metrics.values()] == expected


def nudged(truth: dict[str, Any], field: str) -> list[dict[str, Any]]:
    """The objects of a ground truth as results: moved a little, some lost, some twice, scores tied."""
    rng = np.random.default_rng(0)
    size = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
    records: list[dict[str, Any]] = []
    for one in truth["annotations"] * 2:
        if rng.random() < 0.2 or not one.get(field):
            continue
        shift, scored = rng.integers(-4, 5, 2), {"score": float(np.round(rng.random(), 1))}
        if field == "keypoints":
            points = np.array(one["keypoints"], float).reshape(-1, 3) + np.array([*shift, 0])
            shape: Any = points.ravel().tolist()
        else:
            outlined = one["segmentation"]
            height, width = size[one["image_id"]]
            coded = mask_api.frPyObjects(outlined, height, width)
            whole = mask_api.merge(coded) if isinstance(coded, list) else coded
            moved = np.roll(mask_api.decode(whole), shift, (0, 1))
            rle = mask_api.encode(np.asfortranarray(moved))
            shape = {"size": rle["size"], "counts": rle["counts"].decode()}
        records.append({key: one[key] for key in ("image_id", "category_id")} | scored | {field: shape})
    return records


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("task", ["bbox", "segm", "keypoints"])
def test_all_numbers_equal_pycocotools_on_coco_mini(task: str, split: str, real_data: Path, tmp_path: Path) -> None:
    """Real crowds, small objects and absent classes."""
    kind = "person_keypoints" if task == "keypoints" else "instances"
    truth = json.loads((real_data / "coco_mini" / "annotations" / f"{kind}_{split}2017.json").read_text())
    if task == "bbox":
        found = json.loads((real_data / "coco_mini_detections" / f"coco-mini-{split}_bbox.json").read_text())
    else:
        found = nudged(truth, {"segm": "segmentation", "keypoints": "keypoints"}[task])
    (tmp_path / "found.json").write_text(json.dumps(found))
    values = np.array([*score_file(tmp_path / "found.json", truth).metrics.values()]) / 100
    expected = official(truth, found, task)
    assert len(values) == (10 if task == "keypoints" else 12)
    assert 0.1 < expected[0] < 0.95
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-12, equal_nan=True)
