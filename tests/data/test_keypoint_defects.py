"""Keypoints of unknown visibility, and labelled ones outside their image, are defects of a COCO-format file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lineage.cli.data.main import main
from lineage.data.annotations.validate import DatasetError
from lineage.data.formats.coco import load
from lineage.data.transforms.sanitize import sanitize
from tests.data import folder


def write(root: Path, points: list[float]) -> dict[str, Any]:
    """Write a folder in whose second image, of 30 x 20 pixels, an object has these two keypoints."""
    content = folder.content()
    content["categories"][1]["keypoints"] = ["nose", "tail"]
    content["annotations"][1]["keypoints"] = points
    return {"root": str(folder.write(root, content)), "annotations": "train.json"}


@pytest.mark.parametrize(("points", "parts"), [
    ([1, 2, 2, 3, 4, 3], ["unknown visibility of a keypoint: 1", "keypoint 2 has visibility 3",
                          "0 is not labelled, 1 hidden, 2 visible"]),
    ([1, 2, -1, 3, 4, 2], ["keypoint 1 has visibility -1"]),
    ([1, 2, 0.5, 3, 4, 2], ["keypoint 1 has visibility 0.5"]),
    ([1, 2, 2, 33, 4, 1], ["labelled keypoint more than 2 px outside its image: 1",
                           "keypoint 2 is at (33, 4) in an image of 30 x 20 (width x height)"]),
    ([1, -2.5, 2, 3, 4, 2], ["keypoint 1 is at (1, -2.5)", "make its visibility 0"]),
])  # fmt: skip
def test_a_keypoint_that_cannot_be_right_is_a_defect(
    tmp_path: Path, points: list[float], parts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    opened = write(tmp_path, points)
    with pytest.raises(DatasetError) as caught:
        load(**opened)
    for part in ("annotation 2 of image 20 (2.png)", "Fix: ", "dataset.train.on_defect=drop", *parts):
        assert part in str(caught.value)
    assert main(["check", "--images", str(tmp_path / "images"), "--annotations", str(tmp_path / "train.json")]) == 1
    told = capsys.readouterr().out
    assert all(part in told for part in parts)


@pytest.mark.parametrize("points", [[0, 0, 2, 30, 20, 2], [-2, -2, 1, 32, 22, 2], [29, 19, 2.0, 500, -80, 0]])
def test_keypoints_at_the_border_and_those_that_are_not_labelled_are_none(tmp_path: Path, points: list[float]) -> None:
    assert len(load(**write(tmp_path, points))) == 3


def test_a_keypoint_outside_is_not_learned_and_its_object_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = load(**write(tmp_path, [3, 4, 2, 60, 4, 2]), on_defect="drop")
    visibility = sanitize(data[1]).visibility
    assert visibility is not None
    assert visibility.tolist() == [[2, 0]]
    assert "keypoints outside are not learned" in caplog.text


def test_an_object_with_a_keypoint_of_unknown_visibility_is_left_out(tmp_path: Path) -> None:
    data = load(**write(tmp_path, [3, 4, 2, 6, 4, 7]), on_defect="drop")
    assert [len(data[i].labels) for i in range(3)] == [1, 0, 1]
