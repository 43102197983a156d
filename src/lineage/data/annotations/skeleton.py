"""Which keypoints are joined by a bone: COCO's "skeleton" of a category, which counts them from 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

Bones: TypeAlias = tuple[tuple[int, int], ...]  # pairs of keypoints, counted from 0


def bones(categories: Sequence[dict[str, Any]]) -> Bones:
    """Of the category with the most keypoints; what joins no two of them is left out, for it is only drawn."""
    richest = max(categories, key=lambda one: len(one.get("keypoints") or ()), default={})
    count = len(richest.get("keypoints") or ())
    pairs = [pair for pair in richest.get("skeleton") or () if isinstance(pair, list | tuple) and len(pair) == 2]
    inside = [pair for pair in pairs if all(isinstance(end, int) and 1 <= end <= count for end in pair)]
    return tuple((first - 1, second - 1) for first, second in inside)
