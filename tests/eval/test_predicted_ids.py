"""Results of `lineage predict` without --annotations, whose image ids are numbers of its own, are told apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lineage.eval.files.check_results import check_results
from lineage.eval.files.json_file import ResultError

TRUTH: dict[str, Any] = {
    "images": [{"id": 7, "file_name": "a/x.jpg", "height": 20, "width": 30},
               {"id": 1, "file_name": "a/y.JPG", "height": 30, "width": 20}],
    "categories": [{"id": 1, "name": "cell"}],
}  # fmt: skip
RECORD = {"image_id": 1, "category_id": 1, "score": 0.5, "bbox": [1, 1, 5, 5]}
MASK = {"size": [20, 30], "counts": [600]}


def write_names(folder: Path, names: dict[int, str]) -> Path:
    """Write what predict writes beside its results; return the path of those."""
    images = [{"id": number, "file_name": name} for number, name in names.items()]
    (folder / "predictions.json").write_text(json.dumps({"images": images}))
    return folder / "coco_results.json"


def test_ids_of_other_pictures_are_refused_where_sizes_agree(tmp_path: Path) -> None:
    """They were scored in silence, each picture against the objects of another."""
    path = write_names(tmp_path, {1: "x.jpg", 2: "y.jpg"})
    with pytest.raises(
        ResultError, match=r"id 1 is x in predictions.json .*, and y in the ground truth.*--annotations"
    ):
        check_results([RECORD], TRUTH, path)


@pytest.mark.parametrize("names", [{7: "x.jpg", 1: "b/y.jpg"}, {1: "Y.png"}, {}])
def test_ids_of_the_truth_are_scored(tmp_path: Path, names: dict[int, str]) -> None:
    check_results([RECORD], TRUTH, write_names(tmp_path, names))
    (tmp_path / "predictions.json").write_text("[1")
    check_results([RECORD], TRUTH, tmp_path / "coco_results.json")


def test_numbers_may_lack_what_stands_before_them(tmp_path: Path) -> None:
    truth = TRUTH | {"images": [TRUTH["images"][1] | {"file_name": "COCO_val2014_000000000001.jpg"}]}
    check_results([RECORD], truth, write_names(tmp_path, {1: "000000000001.jpg"}))


@pytest.mark.parametrize(
    ("changes", "says"), [({"segmentation": MASK}, "mask of 20 x 30"), ({"image_id": 3}, "not among")]
)
def test_what_does_not_fit_names_the_command(changes: dict[str, Any], says: str) -> None:
    """Elsewhere than beside the file of names, the cause is but likely."""
    with pytest.raises(ResultError, match=rf"{says}.*lineage predict IMAGES ... --annotations FILE"):
        check_results([RECORD | changes], TRUTH, Path("results.json"))
