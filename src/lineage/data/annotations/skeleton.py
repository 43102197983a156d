"""The keypoints of a dataset's categories: names, lines between them, tolerances, and permutations of a mirrored image.

Categories may have different numbers of keypoints. Slot k of an object is the k-th keypoint of its own category; a
category with fewer than the K of the longest leaves its last slots unlabelled.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lineage.data.samples.metadata import Skeleton

MIRRORED = {"left": "right", "right": "left", "l": "r", "r": "l"}
SIDE = re.compile(r"left|right|(?<![a-z])[lr](?![a-z])")  # left_eye, topleft, l_eye, eye-r
CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")  # LeftEye, eyeL, LEye


class KeypointError(ValueError):
    """Error for a category whose `sigmas` or `flip_indices` do not fit its keypoints."""


@dataclass(frozen=True, slots=True)
class CategoryKeypoints:
    """Keypoints of a dataset, as its categories name them; empty tuples if there are none."""

    names: tuple[str, ...] = ()  # [K] of the category that has most
    flip_indices: tuple[int, ...] = ()  # [K] of that category
    sigmas: tuple[float, ...] = ()  # [K] of that category, or ()
    counts: tuple[int, ...] = ()  # [C] number of keypoints of each category, if they differ
    class_flip_indices: tuple[tuple[int, ...], ...] = ()  # [C][K] of each category, if they differ


def read_keypoints(categories: Sequence[Mapping[str, Any]], used: Mapping[int, int]) -> CategoryKeypoints:
    """Return the keypoints of categories, which are in the order of their labels.

    used: category id -> the highest number of keypoints of its annotations; names are numbers where a category has none
    Raises KeypointError.
    """
    if not categories:
        return CategoryKeypoints()
    names = [_read_names(category, used.get(category["id"], 0)) for category in categories]
    longest = max(range(len(names)), key=lambda label: len(names[label]))
    flips = [_read_flip_indices(category, own) for category, own in zip(categories, names, strict=True)]
    count = len(names[longest])
    padded = [(*flip, *range(len(flip), count)) for flip in flips]
    with_keypoints = [flip for flip, own in zip(padded, names, strict=True) if own]
    counts = tuple(map(len, names))
    return CategoryKeypoints(
        names=names[longest],
        flip_indices=flips[longest],
        sigmas=_read_sigmas(categories[longest], count),
        counts=counts if len(set(counts)) > 1 else (),
        class_flip_indices=tuple(padded) if len(set(with_keypoints)) > 1 else (),
    )


def count_keypoints(
    categories: Sequence[Mapping[str, Any]], annotations: Sequence[Mapping[str, Any]]
) -> dict[int, int]:
    """Return category id -> number of keypoints: of its names, or where it has none, of its longest annotation."""
    counts = {category["id"]: len(category.get("keypoints") or ()) for category in categories}
    unnamed = {category_id for category_id, count in counts.items() if not count}
    for annotation in annotations if unnamed else ():
        if not (points := annotation.get("keypoints")):
            continue
        category_id = annotation.get("category_id")
        if not isinstance(category_id, int) or category_id not in unnamed:
            continue
        if isinstance(points, list) and len(points) % 3 == 0 and any(points):
            counts[category_id] = max(counts[category_id], len(points) // 3)
    return counts


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
    plain = [CAPITAL.sub("_", name).lower() for name in names]
    index_of = {name: index for index, name in reversed([*enumerate(plain)])}
    mirrored = [index_of.get(SIDE.sub(lambda side: MIRRORED[side[0]], name), -1) for name in plain]
    pairs = enumerate(mirrored)
    return tuple(other if other >= 0 and mirrored[other] == index else index for index, other in pairs)


def _read_names(category: Mapping[str, Any], used: int) -> tuple[str, ...]:
    names = tuple(str(name) for name in category.get("keypoints") or ())
    return names or tuple(str(number) for number in range(1, used + 1))


def _read_flip_indices(category: Mapping[str, Any], names: Sequence[str]) -> tuple[int, ...]:
    """Return `flip_indices` of the category, counted from 0, else those that its names imply."""
    indices = category.get("flip_indices")
    if indices is None:
        return create_flip_indices(names)
    if not isinstance(indices, list) or sorted(indices, key=str) != sorted(range(len(names)), key=str):
        raise KeypointError(
            f"category {category['id']} has the flip_indices {indices!r:.80}; they name, for each of its {len(names)} "
            "keypoints, the one that it becomes in a mirrored image, counted from 0"
        )
    return tuple(indices)


def _read_sigmas(category: Mapping[str, Any], count: int) -> tuple[float, ...]:
    sigmas = category.get("sigmas")
    if sigmas is None:
        return ()
    numbers = sigmas if isinstance(sigmas, list) else []
    if len(numbers) != count or not all(isinstance(sigma, int | float) and sigma > 0 for sigma in numbers):
        raise KeypointError(
            f"category {category['id']} has the sigmas {sigmas!r:.80}; it needs a positive number for each of its "
            f"{count} keypoints"
        )
    return tuple(float(sigma) for sigma in numbers)
