"""The numbers that COCO's authors published for their example results, reproduced by program."""

from __future__ import annotations

import contextlib
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from lineage.eval.file import evaluate_file


@pytest.mark.parametrize(("task", "name"), [("box", "bbox"), ("mask", "segm")])
def test_cocoapi_example_results(task: str, name: str, real_data: Path) -> None:
    folder = real_data / "coco_eval_cases" / "tests" / "dataset" / "cocoapi"
    metrics = evaluate_file(
        folder / f"instances_val2014_fake{name}100_results.json", folder / "instances_val2014_100.json"
    )
    text = (real_data / "cocoapi_results" / "results" / "val2014_fake_eval_res.txt").read_text()
    printed = re.findall(r"= (-?\d\.\d{3})", text.partition(f"type={name}\n")[2])[:12]
    assert [f"{value / 100:.3f}" for value in metrics.values()] == printed
    assert list(metrics)[:3] == [f"{task}/AP", f"{task}/AP50", f"{task}/AP75"]


def test_keypoint_example_results(real_data: Path) -> None:
    folder = real_data / "coco_keypoint_cases" / "annotations"
    metrics = evaluate_file(folder / "example_coco_preds.json", folder / "example_coco_val.json")
    expected = {"AP": 0.8609, "AP50": 0.9931, "AP75": 0.9109, "APm": 0.7756, "APl": 0.9373, "AR": 0.875}
    assert {key: round(metrics[f"keypoint/{key}"] / 100, 4) for key in expected} == expected


def test_keypoints_equal_pycocotools(real_data: Path) -> None:
    folder = real_data / "coco_keypoint_cases" / "annotations"
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(folder / "example_coco_val.json"))
        engine = COCOeval(truth, truth.loadRes(str(folder / "example_coco_preds.json")), "keypoints")
        engine.evaluate()
        engine.accumulate()
        engine.summarize()
    metrics = evaluate_file(folder / "example_coco_preds.json", folder / "example_coco_val.json")
    np.testing.assert_allclose(np.array(list(metrics.values())) / 100, engine.stats, rtol=0, atol=1e-12)


@pytest.mark.parametrize("split", ["train", "val"])
def test_detections_of_a_small_detector_on_coco_mini(split: str, real_data: Path) -> None:
    folder = real_data / "coco_mini_detections"
    expected = json.loads((folder / "expected_pycocotools_stats.json").read_text())[f"coco-mini-{split}"]["stats"]
    truth = real_data / "coco_mini" / "annotations" / f"instances_{split}2017.json"
    metrics = evaluate_file(folder / f"coco-mini-{split}_bbox.json", truth)
    assert [round(value / 100, 6) for value in metrics.values()] == expected
