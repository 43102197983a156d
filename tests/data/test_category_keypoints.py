"""Number, names, mirror images and sigmas of keypoints come from the categories of a file, as classes do."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from lineage.data.annotations.indexed_dataset import IndexedDataset
from lineage.data.annotations.skeleton import create_flip_indices
from lineage.data.annotations.validate import DatasetError
from lineage.data.formats.coco import load
from lineage.data.samples.metadata import parse_meta
from lineage.data.transforms.context import Context
from lineage.data.transforms.flip import RandomFlip
from tests.data import folder

CAT, DOG = 4, 9
POINTS = {CAT: [3, 3, 2, 9, 3, 2, 5, 8, 1], DOG: [4, 4, 2, 8, 6, 2]}  # x, y, visibility
NAMES = {CAT: ["left_ear", "right_ear", "nose"], DOG: ["nose", "tail"]}


def open_dataset(root: Path, names: dict[int, list[str]], **fields: Any) -> IndexedDataset:
    """One cat and one dog in an image of 30 pixels width; `fields` go to the category of cats."""
    content = folder.content(1)
    for category in content["categories"]:
        category |= {"keypoints": names[category["id"]]} if names else {}
        category |= fields if category["id"] == CAT else {}
    content["annotations"] = [
        folder.annotation(number, 10, category_id=category, keypoints=POINTS[category])
        for number, category in ((1, CAT), (2, DOG))
    ]
    return load(root=str(folder.write(root, content)), annotations="train.json")


def test_categories_may_have_different_numbers_of_keypoints(tmp_path: Path) -> None:
    dataset = open_dataset(tmp_path, NAMES)
    assert dataset.meta.keypoints == ("left_ear", "right_ear", "nose")
    assert dataset.meta.keypoint_counts == (3, 2)
    sample = dataset[0]
    assert sample.visibility is not None
    assert sample.visibility.tolist() == [[2, 2, 1], [2, 2, 0]]  # the slot that dogs do not have is never labelled


def test_a_mirror_exchanges_the_keypoints_of_each_class_by_its_own_names(tmp_path: Path) -> None:
    """Slot 0 and 1 are the two ears of cats, which a mirror exchanges, and nose and tail of dogs, which stay."""
    dataset = open_dataset(tmp_path, NAMES)
    assert dataset.meta.class_flip_indices == ((1, 0, 2), (0, 1, 2))
    sample = RandomFlip(p=1.0)(dataset[0], Context(dataset, step=0, seed=0))
    assert sample.keypoints is not None
    x = sample.keypoints.as_subclass(torch.Tensor)[..., 0]
    assert x[0].tolist() == [30 - 9.5, 30 - 3.5, 30 - 5.5]
    assert x[1, :2].tolist() == [30 - 4.5, 30 - 8.5]


def test_the_same_names_need_one_permutation(tmp_path: Path) -> None:
    dataset = open_dataset(tmp_path, {CAT: NAMES[CAT], DOG: NAMES[CAT][:2]})
    assert (dataset.meta.class_flip_indices, dataset.meta.flip_indices) == ((), (1, 0, 2))


def test_keypoints_without_names_are_counted(tmp_path: Path) -> None:
    dataset = open_dataset(tmp_path, {})
    assert (dataset.meta.keypoints, dataset.meta.flip_indices) == (("1", "2", "3"), (0, 1, 2))
    assert dataset.meta.keypoint_counts == (3, 2)


def test_a_category_may_state_sigmas_and_mirror_images(tmp_path: Path) -> None:
    meta = open_dataset(tmp_path, NAMES, sigmas=[0.1, 0.1, 0.2], flip_indices=[0, 2, 1]).meta
    assert meta.sigmas == (0.1, 0.1, 0.2)
    assert meta.flip_indices == (0, 2, 1)
    assert parse_meta(json.loads(json.dumps(asdict(meta)))) == meta  # as a run folder holds it


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"sigmas": [0.1]}, r"category 4 has the sigmas \[0.1\]; it needs a positive number for each of its 3"),
        ({"sigmas": [0.1, 0.1, 0]}, "sigmas"),
        ({"flip_indices": [0, 1, 1]}, r"category 4 has the flip_indices \[0, 1, 1\]; they name"),
        ({"flip_indices": 3}, "flip_indices 3"),
    ],
)
def test_what_does_not_fit_the_keypoints_is_refused(fields: dict[str, Any], part: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=part):
        open_dataset(tmp_path, NAMES, **fields)


@pytest.mark.parametrize("pair", [
    ("left_eye", "right_eye"), ("LeftEye", "RightEye"), ("l_eye", "r_eye"), ("eye-L", "eye-R"), ("eyeL", "eyeR"),
    ("topleft", "topright"), ("L", "R"), ("LEFT EYE", "RIGHT EYE"),
])  # fmt: skip
def test_spellings_of_left_and_right(pair: tuple[str, str]) -> None:
    assert create_flip_indices((pair[0], "bright spot", "tail", pair[1])) == (3, 1, 2, 0)
    assert create_flip_indices((pair[0], "nose")) == (0, 1)
