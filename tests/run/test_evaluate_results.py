"""What `data check` passes is scored: ids as text, documents without objects; and what goes with the scores."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lineage.config.build import ConfigError
from lineage.data.annotations.cures import read_whole_number
from lineage.eval.files.check_results import cure_ids
from lineage.eval.notes import NO_OBJECTS
from lineage.run.inference.evaluate_results import EvaluateOptions, evaluate_by_annotations, evaluate_by_dataset
from tests.eval.panoptic_png import write_png

Record = dict[str, Any]
BOX = [10.0, 10.0, 20.0, 20.0]
RESULT = {"image_id": 17, "category_id": 3, "bbox": BOX, "score": 0.9}
LISTS = {"neg_category_ids": [], "not_exhaustive_category_ids": []}


def document(**changes: Any) -> Record:
    annotation = {"id": 1, "image_id": 17, "category_id": 3, "bbox": BOX, "area": 400, "iscrowd": 0}
    truth = {
        "images": [{"id": 17, "file_name": "17.jpg", "height": 60, "width": 80}],
        "annotations": [annotation],
        "categories": [{"id": 3, "name": "cell"}],
    }
    return truth | changes


def score(folder: Path, truth: Record, results: Any, **options: Any) -> Any:
    (folder / "truth.json").write_text(json.dumps(truth))
    (folder / "results.json").write_text(json.dumps(results))
    return evaluate_by_annotations(folder / "results.json", folder / "truth.json", EvaluateOptions(**options))


def as_text(node: Any) -> Any:
    """Write the ids and sizes of a document as text, as some tools do."""
    if isinstance(node, dict):
        texts = ("id", "image_id", "category_id", "height", "width", "iscrowd")
        return {key: str(value) if key in texts else as_text(value) for key, value in node.items()}
    return [as_text(one) for one in node] if isinstance(node, list) else node


def test_ids_that_are_text_score_like_numbers(tmp_path: Path) -> None:
    plain = score(tmp_path, document(), [RESULT])
    assert plain.metrics["box/AP"] == pytest.approx(100)
    for truth, results in ((as_text(document()), [RESULT]), (document(), as_text([RESULT])),
                           (as_text(document()), as_text([RESULT | {"image_id": 17.0}]))):  # fmt: skip
        scores = score(tmp_path, truth, results)
        np.testing.assert_equal(scores.metrics, plain.metrics)
        assert any("text" in note for note in scores.notes)


@pytest.mark.parametrize(
    "value", ["17", " 17 ", "17.0", 17.0, "-3", "9007199254740993", "a", "1.5", 1.5, "", "1e3", None]
)
def test_results_are_cured_as_datasets_are(value: Any) -> None:
    """The package `eval` does not import `data`, so it has its own rule."""
    records = [{"image_id": value}]
    cure_ids(records)
    number = read_whole_number(value)
    assert records[0]["image_id"] == (value if number is None else number)


@pytest.mark.parametrize("annotations", [[], None], ids=["no objects", "a test server's"])
@pytest.mark.parametrize("results", [[], [RESULT], [RESULT | {"keypoints": [1, 1, 1]}]])
def test_a_ground_truth_without_objects_measures_nothing(annotations: Any, results: Any, tmp_path: Path) -> None:
    truth = document()
    del truth["annotations"]
    scores = score(tmp_path, truth if annotations is None else truth | {"annotations": annotations}, results)
    assert scores.metrics
    assert all(math.isnan(value) for value in scores.metrics.values())
    assert NO_OBJECTS in scores.notes


def test_lvis_and_panoptic_without_objects(tmp_path: Path) -> None:
    images = [document()["images"][0] | LISTS]
    lvis = document(images=images, annotations=[], categories=[{"id": 3, "name": "cell", "frequency": "f"}])
    scores = score(tmp_path, lvis, [RESULT])
    assert math.isnan(scores.metrics["box/APr"])
    assert NO_OBJECTS in scores.notes
    write_png(tmp_path / "17.png", np.zeros((60, 80), np.int64))
    panoptic = document(annotations=[], categories=[{"id": 3, "name": "cell", "isthing": 1}])
    results = {"annotations": [{"image_id": 17, "file_name": "17.png", "segments_info": []}]}
    scores = score(tmp_path, panoptic, results)
    assert math.isnan(scores.metrics["panoptic/PQ"])
    assert NO_OBJECTS in scores.notes


def test_a_box_that_is_null_is_that_of_the_mask(tmp_path: Path) -> None:
    truth = document()
    truth["annotations"][0] |= {"bbox": None, "segmentation": [[10, 10, 30, 10, 30, 30, 10, 30]]}
    assert score(tmp_path, truth, [RESULT]).metrics["box/AP"] == pytest.approx(100)


def test_of_a_run_folder_its_results_are_named(tmp_path: Path) -> None:
    """It was read as a folder of VOC's text files."""
    (tmp_path / "start.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"is the folder of a run; name its results: .*results\.json, which"):
        evaluate_by_dataset(tmp_path, "shapes", [], EvaluateOptions())
    (tmp_path / "results.json").write_text("[]")
    with pytest.raises(ConfigError, match=r"results\.json$"):
        evaluate_by_annotations(tmp_path, tmp_path / "truth.json", EvaluateOptions())
