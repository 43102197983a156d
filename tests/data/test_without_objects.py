"""A validation split may have no objects, or no annotations at all; a training split may not."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from lineage.data.formats import coco, lvis, panoptic
from lineage.data.samples.dataset import Dataset
from lineage.eval.evaluator import DetectionEvaluator, Evaluator
from lineage.eval.protocols.coco import CocoScorer
from lineage.eval.protocols.lvis import LvisScorer
from lineage.eval.protocols.panoptic import PanopticEvaluator
from lineage.structures import UNLABELLED, Batch, Detections, Images, Targets


def write(folder: Path, document: dict[str, Any]) -> Path:
    Image.new("RGB", (32, 24)).save(folder / "1.png")
    images = [{"id": 1, "file_name": "1.png", "height": 24, "width": 32}]
    path = folder / "val.json"
    path.write_text(json.dumps({"images": images, "categories": [{"id": 3, "name": "a"}], **document}))
    return path


@pytest.mark.parametrize("document", [{"annotations": []}, {}], ids=["no objects", "a test server's"])
def test_a_validation_split_without_objects_opens(document: dict[str, Any], tmp_path: Path) -> None:
    path = write(tmp_path, document)
    dataset = coco.load(annotations=str(path), images=str(tmp_path), config_node="dataset.val")
    assert len(dataset) == 1
    assert len(dataset[0].labels) == 0
    assert dataset.ground_truth()["annotations"] == []
    assert "box" in CocoScorer(dataset=dataset).tasks
    with pytest.raises(ValueError, match=r"no list `annotations`|nothing to learn|no image is left"):
        coco.load(annotations=str(path), images=str(tmp_path), config_node="dataset.train")


@pytest.mark.parametrize("document", [{"annotations": []}, {}], ids=["no objects", "a test server's"])
def test_lvis_without_objects_writes_results(document: dict[str, Any], tmp_path: Path) -> None:
    path = write(tmp_path, document)
    dataset = lvis.load(annotations=str(path), images=str(tmp_path), config_node="dataset.val")
    scores = evaluate(DetectionEvaluator(LvisScorer(dataset=dataset)), dataset)
    assert math.isnan(scores["box/APr"])
    with pytest.raises(ValueError, match=r"no list `annotations`|nothing to learn|no image is left"):
        lvis.load(annotations=str(path), images=str(tmp_path), config_node="dataset.train")


@pytest.mark.parametrize("document", [{"annotations": []}, {}], ids=["no objects", "a test server's"])
def test_panoptic_without_segments_writes_results(document: dict[str, Any], tmp_path: Path) -> None:
    """There is no folder of PNGs either."""
    categories = [{"id": 3, "name": "a", "isthing": 1}, {"id": 5, "name": "grass", "isthing": 0}]
    path = write(tmp_path, document | {"categories": categories})
    dataset = panoptic.load(annotations=str(path), images=str(tmp_path), config_node="dataset.val")
    sample = dataset[0]
    assert sample.semantic is not None
    assert (sample.semantic == UNLABELLED).all()
    evaluator = PanopticEvaluator(dataset=dataset, stuff_area_limit=1)
    scores = evaluate(evaluator, dataset, semantic=torch.tensor([0.0, 5.0])[None, :, None, None].expand(1, 2, 24, 32))
    assert math.isnan(scores["panoptic/PQ"])
    assert math.isnan(scores["semantic/mIoU"])
    (record,) = evaluator.results()
    assert record["category_id"] == 5


def evaluate(evaluator: Evaluator, dataset: Dataset, semantic: Tensor | None = None) -> dict[str, float]:
    """Evaluate one image without detections."""
    slot, size = torch.zeros(1, 1), torch.tensor([[24, 32]])
    nothing = Detections(torch.zeros(1, 1, 4), slot, slot.long(), slot > 0, slot.long(), torch.zeros(1, 1, 2))
    detections = nothing._replace(masks=torch.zeros(1, 1, 28, 28), semantic=semantic)
    images = Images(torch.zeros(1, 3, 24, 32, dtype=torch.uint8), size.float(), dataset.ids)
    targets = Targets(torch.zeros(1, 1, 4), slot.long(), slot > 0, slot > 0, None, None)
    evaluator.update(detections, Batch(images, targets, dataset.ids, size))
    return evaluator.compute()
