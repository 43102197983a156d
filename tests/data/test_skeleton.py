"""Bones come from the categories of a file, whatever it says, and go back into them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineage.data.annotations.skeleton import read_skeleton
from lineage.data.formats.coco import load
from lineage.data.shapes.dataset import Shapes
from lineage.data.shapes.outlines import SKELETON
from tests.data import folder


@pytest.mark.parametrize("wrong", [[], [[1]], [[1, 4]], [[0, 1]], [["nose", "eye"]], None, [[[1], 2]]])
def test_what_joins_no_two_keypoints_is_left_out(wrong: object) -> None:
    person = {"name": "person", "keypoints": ["nose", "left_eye", "right_eye"]}
    assert read_skeleton([{"name": "dog"}, person | {"skeleton": wrong}]) == ()
    assert read_skeleton([{"name": "dog"}, person | {"skeleton": [[1, 2], [3, 1], *(wrong or [])]}]) == ((0, 1), (2, 0))
    assert read_skeleton([]) == ()


def test_a_file_says_which_keypoints_are_joined(tmp_path: Path) -> None:
    content = folder.content()
    content["categories"][1] |= {"keypoints": ["head", "tail"], "skeleton": [[1, 2]]}
    content["annotations"][0] |= {"keypoints": [3, 3, 2, 9, 9, 2], "num_keypoints": 2}
    dataset = load(root=str(folder.write(tmp_path, content)), annotations="train.json")
    assert dataset.meta.skeleton == ((0, 1),)
    assert [one["skeleton"] for one in dataset.to_coco_dict()["categories"]] == [[[1, 2]], [[1, 2]]]
    plain = load(root=str(folder.write(tmp_path / "plain", folder.content())), annotations="train.json")
    assert plain.meta.skeleton == ()


def test_figures_have_the_bones_of_their_categories() -> None:
    shapes = Shapes(seed=0, length=1)
    assert len(shapes.meta.skeleton) == len(SKELETON)
    assert read_skeleton(shapes.ground_truth()["categories"]) == shapes.meta.skeleton
