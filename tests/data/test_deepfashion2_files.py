"""Files that are not as DeepFashion2 has them: each is described in words, with its item and field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lineage.data.export import deepfashion2 as write_deepfashion2
from lineage.data.formats import deepfashion2
from lineage.data.shapes.dataset import Shapes
from tests.data.test_formats import told


@pytest.fixture(scope="module")
def drawn() -> Shapes:
    return Shapes(seed=1, length=3, size=[64, 64], crowds=0)


@pytest.mark.parametrize(("change", "part"), [
    ({"category_id": 14}, "category_id 14, known are 1 to 13"),
    ({"category_id": 9, "landmarks": [1, 2, 2]}, "expected 24 numbers for 8 landmarks, found 3 numbers"),
    ({"category_id": 9, "landmarks": "abc"}, "item1: landmarks of skirt: expected 24 numbers for 8 landmarks, found "
                                             "the text 'abc'"),
    ({"category_id": 9, "landmarks": [1e9, 2, 2] + [0] * 21}, "landmarks of skirt: number 1 is at (1e+09, 2) in an "
                                                              "image of "),
    ({"category_id": 9, "landmarks": [0] * 3 + [1, 2, 7] + [0] * 18}, "number 2 has visibility 7; it is 0"),
    ({"category_id": 9, "landmarks": ["x"] + [0] * 23}, "landmarks of skirt are not all numbers of pixels"),
    ({"bounding_box": [1, 2, 3]}, "is not [x1, y1, x2, y2]"),
    ({"bounding_box": [1, 2, 3, "x"]}, "item1: bounding_box [1, 2, 3, 'x'] is not [x1, y1, x2, y2]"),
    ({"category_id": "x"}, "item1: category_id: expected a whole number, found the text 'x'"),
    ({"style": None}, "item1: style: expected a whole number, found null"),
])  # fmt: skip
def test_a_broken_deepfashion2_item(drawn: Shapes, tmp_path: Path, change: dict[str, Any], part: str) -> None:
    file = write_deepfashion2.write(drawn, tmp_path, "train") / "000002.json"
    document = json.loads(file.read_text())
    document["item1"] |= change
    file.write_text(json.dumps(document))
    message = told(deepfashion2.load, image_set="train", root=str(tmp_path))
    assert str(file) in message
    assert part in message
    assert "image 2 (000002.jpg)" in message


@pytest.mark.parametrize(("content", "part"), [
    ("[]", "the file holds a list, not an object of items"),
    ('{"item1": [1]}', "item1: expected an object with category_id, bounding_box and landmarks, found a list"),
    ('{"item1": {"category_id": 9}}', "item1: has no bounding_box and no landmarks"),
    ('{"item1"', "is not JSON"),
])  # fmt: skip
def test_a_file_that_is_not_of_deepfashion2(drawn: Shapes, tmp_path: Path, content: str, part: str) -> None:
    """It is described in words, not by an error of Python."""
    file = write_deepfashion2.write(drawn, tmp_path, "train") / "000002.json"
    file.write_text(content)
    message = told(deepfashion2.load, image_set="train", root=str(tmp_path))
    assert f"{file}: {part}" in message
    assert "Error" not in message
