"""The numbers of the error analysis equal those of the evaluators, and closed forms on small cases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lineage.eval.document import document_of
from lineage.eval.engine import load_documents
from lineage.eval.metrics import own_matching
from lineage.eval.metrics.matching import summarize
from lineage.eval.scored_document import coco_documents
from lineage.report.site.error_analysis import CODES, IGNORED, analyse_task
from lineage.results.run_folder import RunFolder
from tests.report.site.stores import (
    disturb,
    make_entry,
    make_site_source,
    open_shapes,
    write_run_folder,
    write_store,
)
from tests.report.site.test_site import read_part, write_index


def score(document: dict[str, Any], records: list[dict[str, Any]], task: str) -> dict[str, float]:
    content = document_of(document).ground_truth()
    truth = load_documents(coco_documents(content, [task]))[task]
    return summarize(own_matching.match(truth, truth.load_res(records), task, 100), [1, 10, 100])[0]


@pytest.mark.parametrize("task", ["box", "mask"])
def test_the_area_under_the_mean_curve_is_ap(task: str) -> None:
    dataset = open_shapes()
    document, records = dataset.ground_truth(), disturb(dataset, 0.7, 1)
    summary = analyse_task(document, records, task, dataset.ids.tolist()).summary
    exact = score(document, records, task)
    assert sum(summary["pr"]["all"]) / 1010 == pytest.approx(exact["AP"], abs=0.06)  # thousandths are rounded
    assert sum(summary["pr"]["50"]) / 1010 == pytest.approx(exact["AP50"], abs=0.06)


def test_ap_of_an_image_is_that_of_a_test_of_this_image_alone() -> None:
    dataset = open_shapes()
    document, records = dataset.ground_truth(), disturb(dataset, 0.7, 1)
    per_image = analyse_task(document, records, "box", dataset.ids.tolist()).summary["images"]
    for number, (ap, *_) in zip(dataset.ids.tolist(), per_image, strict=True):
        alone = {**document, "images": [one for one in document["images"] if one["id"] == number],
                 "annotations": [one for one in document["annotations"] if one["image_id"] == number]}  # fmt: skip
        of_image = [record for record in records if record["image_id"] == number]
        if not alone["annotations"]:
            assert ap is None
            continue
        assert ap == pytest.approx(score(alone, of_image, "box")["AP"], abs=0.051)


def test_kinds_of_errors_on_five_detections() -> None:
    objects = [
        make_object(1, 1, [10, 10, 20, 20]),
        make_object(2, 2, [50, 50, 20, 20]),
        make_object(3, 1, [70, 10, 20, 20]),
    ]
    square = make_document(objects, "ab")
    records = [detect(1, [10, 10, 20, 20], 0.9), detect(1, [11, 10, 20, 20], 0.8), detect(1, [50, 50, 20, 20], 0.7),
               detect(2, [0, 80, 9, 9], 0.6), detect(1, [80, 10, 20, 20], 0.55)]  # fmt: skip
    errors = analyse_task(square, records, "box", [7])
    names = {code: kind for kind, code in CODES.items()}
    assert [names[code] for code in errors.codes] == ["", "duplicate", "class", "background", "localisation"]
    assert IGNORED not in errors.codes
    # rows: a, b, background; columns: a, b, missed. The loose box has an IoU of 1/3, so its object is missed.
    assert errors.summary["confusion"] == [[1, 0, 1], [1, 0, 0], [2, 1, 0]]
    assert errors.summary["images"] == [[pytest.approx(25.2, abs=0.1), 1, 4, 2]]
    assert errors.summary["sizes"][1] == [3, 1]  # sides of 20 pixels


def test_calibration_error_of_a_detector_that_is_always_right() -> None:
    square = make_document([make_object(1, 1, [10, 10, 20, 20])], "a")
    summary = analyse_task(square, [detect(1, [10, 10, 20, 20], 0.75)], "box", [7]).summary
    assert summary["calibration_error"] == 25.0  # it is right in 100 % at a score of 75 %
    assert summary["calibration"][7] == [1, 0.75, 1.0]


def test_without_detections_all_objects_are_missed() -> None:
    square = make_document([make_object(1, 1, [10, 10, 20, 20])], "a")
    errors = analyse_task(square, [], "box", [7])
    assert errors.summary["confusion"] == [[0, 1], [0, 0]]
    assert errors.summary["images"] == [[0.0, 0, 0, 1]]


def make_document(objects: list[dict[str, Any]], names: str) -> dict[str, Any]:
    categories = [{"id": number, "name": name} for number, name in enumerate(names, 1)]
    return {"images": [{"id": 7, "height": 100, "width": 100}], "categories": categories, "annotations": objects}


def make_object(number: int, category: int, box: list[float]) -> dict[str, Any]:
    return {"id": number, "image_id": 7, "category_id": category, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}


def detect(category: int, box: list[float], score: float) -> dict[str, Any]:
    return {"image_id": 7, "category_id": category, "bbox": box, "score": score}


def test_areas_of_stuff_are_no_detections(tmp_path: Path) -> None:
    """A category that the boxes' ground truth does not list ended in `its detections cannot be read: 101`."""
    entry = make_entry(0, dataset={"val": open_shapes().fingerprint}, folder=str(tmp_path / "runs" / "a"))
    write_run_folder(tmp_path / "runs" / "a", entry)
    results = RunFolder(tmp_path / "runs" / "a").results
    source = make_site_source(write_store(tmp_path / "results", [entry]), tmp_path / "runs")
    write_index(tmp_path / "before", source)
    records = json.loads(results.read_text())
    results.write_text(json.dumps([records[0] | {"category_id": 101, "score": 1.0}, *records]))
    index = write_index(tmp_path / "site", source)
    assert index["runs"][0]["analysis"] == ["box", "mask"]
    for name in (f"analysis/{entry.id}", f"detections/{entry.id}/0"):
        assert read_part(tmp_path / "site", name) == read_part(tmp_path / "before", name)
