"""For every protocol, detections score in training as their result file does in `lineage evaluate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lineage.eval.evaluator import DetectionEvaluator
from lineage.eval.files.score_file import PROTOCOLS, SCORERS, score_file
from lineage.eval.predictions.rle import decode
from lineage.eval.protocols.panoptic import PanopticEvaluator
from tests.eval.panoptic_png import write_png
from tests.eval.scenes import World, batch, guesses, world
from tests.eval.test_coco import with_keypoints
from tests.eval.test_lvis import federate
from tests.eval.test_panoptic import Scene, perfect

OPTIONS: dict[str, dict[str, Any]] = {
    "coco": {"tasks": ["box", "mask", "keypoint", "boundary"], "extras": ["lrp", "tide", "ious"]},
    "lvis": {"tasks": ["box", "mask"], "extras": ["fixed"]},
}


def scene_of(protocol: str, rng: np.random.Generator) -> World:
    scene = with_keypoints(world(rng, images=7), 17)
    if protocol == "lvis":
        scene.truth["annotations"] = [one for one in scene.truth["annotations"] if not one.pop("iscrowd")]
        federate(scene.truth, rng)
    return scene


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("protocol", [*SCORERS])
def test_the_result_file_scores_as_the_run(protocol: str, seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    scene, options = scene_of(protocol, rng), OPTIONS.get(protocol, {})
    detections, whole = guesses(rng, scene), batch(scene, 1.7)
    keypoints = torch.from_numpy(rng.random((*detections.scores.shape, 17, 3)) * [200, 200, 1]).float()
    detections = detections._replace(boxes=detections.boxes * 1.7, keypoints=keypoints)
    evaluator = DetectionEvaluator(SCORERS[protocol](dataset=scene, **options))
    evaluator.update(detections, whole)
    metrics = evaluator.compute()
    path = tmp_path / "results.json"
    path.write_text(json.dumps(evaluator.results()))
    scores = score_file(path, scene.truth, protocol=protocol, **options)
    assert scores.metrics == pytest.approx(metrics, rel=0, abs=0, nan_ok=True)
    assert [*scores.metrics] == [*metrics]
    for name, values in evaluator.per_class().items():
        assert scores.per_class[name] == pytest.approx(values, rel=0, abs=0, nan_ok=True)


def test_a_panoptic_file_scores_as_the_run(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    evaluator = PanopticEvaluator(dataset=scene, stuff_area_limit=64)
    evaluator.update(*perfect())
    metrics = evaluator.compute()
    annotations = []
    (tmp_path / "found").mkdir()
    for image in (4, 7):
        own = [record for record in evaluator.results() if record["image_id"] == image]
        ids = sum(number * decode(record["segmentation"]).astype(int) for number, record in enumerate(own, 1))
        write_png(tmp_path / "found" / f"{image}.png", np.asarray(ids))
        segments = [{"id": number, "category_id": record["category_id"]} for number, record in enumerate(own, 1)]
        annotations.append({"image_id": image, "file_name": f"{image}.png", "segments_info": segments})
    (tmp_path / "found.json").write_text(json.dumps({"annotations": annotations}))
    scores = score_file(tmp_path / "found.json", scene.ground_truth())
    assert scores.metrics == {name: value for name, value in metrics.items() if name.startswith("panoptic/")}


def test_every_protocol_is_compared() -> None:
    assert {*PROTOCOLS} == {*SCORERS, "panoptic"}


@pytest.mark.parametrize(("task", "field"), [("mask", "segmentation"), ("box", "bbox")])
def test_masks_may_be_polygons_or_run_lengths(task: str, field: str, tmp_path: Path) -> None:
    """A square as polygon, as run lengths and compressed."""
    square = [[2, 2, 6, 2, 6, 6, 2, 6]]
    image = {"id": 1, "height": 10, "width": 8}
    annotation = {"id": 1, "image_id": 1, "category_id": 3, "bbox": [2, 2, 4, 4], "area": 16, "iscrowd": 0}
    truth = {"images": [image], "annotations": [annotation | {"segmentation": square}],
             "categories": [{"id": 3, "name": "square"}]}  # fmt: skip
    runs = [22, 4, 6, 4, 6, 4, 6, 4, 24]
    for shape in (square, {"size": [10, 8], "counts": runs}):
        record = {"image_id": 1, "category_id": 3, "score": 1, "bbox": [2, 2, 4, 4], "segmentation": shape}
        (tmp_path / "results.json").write_text(json.dumps([record]))
        scores = score_file(tmp_path / "results.json", truth, tasks=[task])
        assert scores.metrics[f"{task}/AP"] == pytest.approx(100), field
