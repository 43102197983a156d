"""The keypoints of a dataset's categories: the lines between them, and the permutation of a mirrored image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lineage.data.samples.metadata import Skeleton


def read_skeleton(categories: Sequence[dict[str, Any]]) -> Skeleton:
    """Return the skeleton of the category with the most keypoints. COCO counts them from 1.

    A skeleton is only drawn, so pairs that do not name two of the keypoints are left out.
    """
    richest = max(categories, key=lambda category: len(category.get("keypoints") or ()), default={})
    count = len(richest.get("keypoints") or ())
    pairs = [pair for pair in richest.get("skeleton") or () if isinstance(pair, list | tuple) and len(pair) == 2]
    inside = [pair for pair in pairs if all(isinstance(end, int) and 1 <= end <= count for end in pair)]
    return tuple((first - 1, second - 1) for first, second in inside)


def create_flip_indices(names: Sequence[str]) -> tuple[int, ...]:
    """Return the index of the keypoint that each becomes in a mirrored image: left_eye -> right_eye, nose -> nose."""
    swap = {name: name.replace("left", "*").replace("right", "left").replace("*", "right") for name in names}
    return tuple(names.index(swap[name]) if swap[name] in names else i for i, name in enumerate(names))
