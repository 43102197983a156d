"""Horizontal flips."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torchvision import tv_tensors as tv

from lineage.data.transforms.context import Context
from lineage.data.transforms.flip import RandomFlip, flip
from lineage.data.transforms.geometry import AugmentError
from tests.data.samples import same, scene


def test_flip_twice_is_the_identity() -> None:
    order = (1, 0, 2, 4, 3)
    sample = scene()
    once = flip(sample, order)
    assert not same(once, sample)
    assert same(flip(once, order), sample)


def test_flip_moves_masks_boxes_and_keypoints_to_the_same_place() -> None:
    sample = scene(1)
    box = sample.boxes[0]
    centre = torch.tensor([[[(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]]]).expand(1, 5, 2)
    sample = sample._replace(keypoints=tv.wrap(centre.clone(), like=sample.keypoints))
    flipped = flip(sample, (0, 1, 2, 3, 4))
    assert flipped.masks is not None
    x, y, width, height = flipped.masks.windows[0].tolist()
    assert flipped.boxes[0].tolist() == [x, y, x + width, y + height]
    assert flipped.keypoints is not None
    assert flipped.keypoints[0, 0].tolist() == [x + width / 2, y + height / 2]


def test_flip_swaps_the_names_of_joints_with_their_visibility() -> None:
    sample = scene(1, joints=3)
    flipped = flip(sample, (0, 2, 1))
    assert sample.keypoints is not None
    assert flipped.keypoints is not None
    assert sample.visibility is not None
    assert flipped.visibility is not None
    assert flipped.visibility[0].tolist() == sample.visibility[0, [0, 2, 1]].tolist()
    assert flipped.keypoints[0, 1, 0] == 53 - sample.keypoints[0, 2, 0]
    assert flipped.keypoints[0, 1, 1] == sample.keypoints[0, 2, 1]


def test_the_permutation_comes_from_the_dataset() -> None:
    dataset: Any = SimpleNamespace(meta=SimpleNamespace(flip_indices=(0, 2, 1), class_flip_indices=()))
    sample = scene(1, joints=3)
    flipped = RandomFlip(p=1.0)(sample, Context(dataset, step=0, seed=0))
    assert same(flipped, flip(sample, (0, 2, 1)))
    assert same(RandomFlip(p=0.0)(sample, Context(dataset, step=0, seed=0)), sample)


def test_keypoints_without_a_permutation_are_refused() -> None:
    with pytest.raises(AugmentError, match=r"image 5 has 3 keypoints, and the dataset's flip_indices has 0"):
        flip(scene(1, joints=3), ())
