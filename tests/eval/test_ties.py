"""All numbers of boxes, masks and keypoints against pycocotools on two hundred cases made of ties."""

from __future__ import annotations

import json

import hotcoco
import numpy as np
import pytest

from lineage.eval.protocols.coco import score_coco
from tests.eval.ties import case, official, only

FIELDS = {"box": "bbox", "mask": "segmentation", "keypoint": "keypoints"}
NAMES = {"box": "bbox", "mask": "segm", "keypoint": "keypoints"}


@pytest.mark.parametrize("block", range(20))
@pytest.mark.parametrize("task", [*FIELDS])
def test_all_numbers_equal_pycocotools(task: str, block: int) -> None:
    """Each block is 10 cases: crowds, ties, empty images, absent classes, more than 100 detections."""
    compared = 0
    for seed in range(10 * block, 10 * block + 10):
        truth, found = case(seed, points=17 if task == "keypoint" else 0)
        if not truth["annotations"] or not found:
            continue
        records = only(found, FIELDS[task])
        loaded = hotcoco.COCO(truth)
        metrics = score_coco(loaded, loaded.load_res(json.loads(json.dumps(records))), task).metrics
        values = np.array([*metrics.values()]) / 100
        expected = official(truth, records, NAMES[task])
        np.testing.assert_allclose(values, expected, rtol=0, atol=1e-12, equal_nan=True, err_msg=f"case {seed}")
        compared += 1
    assert compared >= 5, "too few cases had objects and detections"
