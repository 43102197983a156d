"""Comparison of the images for training with those for validation: classes that differ, images in both."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lineage.data.annotations.defects import Record
from lineage.data.annotations.indexed_dataset import IndexedDataset
from lineage.data.samples.metadata import DatasetMeta

FILES_AT_START = 200  # pairs of files with one name, or one size, whose content is compared before a training
SIZES_AT_START = 5000  # files, beyond which only those with one name are looked at before a training
EXAMPLES = 3
Digests = dict[bytes, list[int]]  # content -> positions of images


def explain_classes(train: DatasetMeta, val: DatasetMeta) -> str | None:
    """Return how the classes of two splits differ, and what to do; None if they are equal."""
    if train.classes == val.classes:
        return None
    ids = [dict(zip(meta.classes, meta.category_ids, strict=True)) for meta in (train, val)]
    lines = [
        f"  {name} has the id {ids[0][name]} in train and {ids[1][name]} in val"
        for name in train.classes
        if name in ids[1] and ids[0][name] != ids[1][name]
    ]
    for name, meta, other in (("train", train, ids[1]), ("val", val, ids[0])):
        if extra := [label for label in meta.classes if label not in other]:
            lines.append(f"  only {name} has {_join(extra)}")
    return (
        f"dataset.train and dataset.val have different classes: {len(train.classes)} and {len(val.classes)}.\n"
        + "\n".join(lines)
        + "\nLabels follow the ids, so both files need the same `categories` with the same ids; a class may be without "
        "objects in one of them."
    )


def compare(train: Any, val: Any, *, every_file: bool = False) -> list[str]:
    """Return what is odd about two splits with the same classes, if both are read from disk."""
    if not (isinstance(train, IndexedDataset) and isinstance(val, IndexedDataset)):
        return []
    shared = explain_shared_images(train, val, every_file=every_file)
    return [*explain_objects(train, val), *([shared] if shared else [])]


def explain_objects(train: IndexedDataset, val: IndexedDataset) -> Iterator[str]:
    """Yield what is odd about the objects of classes that both splits have."""
    meta = train.meta
    counts = [
        np.bincount(split.columns.labels, minlength=len(meta.classes)).tolist() for split in (train, val)
    ]  # [2][C]
    both = [a + b for a, b in zip(*counts, strict=True)]
    if phantom := explain_phantom_class(meta.classes, meta.category_ids, both):
        yield phantom
    if equal := explain_equal_names(meta.classes, meta.category_ids):
        yield equal
    if shares := explain_relative_boxes(np.concatenate([split.columns.boxes for split in (train, val)])):
        yield shares
    unlearned = [name for name, a, b in zip(meta.classes, *counts, strict=True) if b and not a]
    if unlearned:
        yield f"no object in train of {_join(unlearned)}, which val has: it cannot be learned"


def explain_content(content: Mapping[str, Sequence[Record]]) -> Iterator[str]:
    """Yield what is odd about the objects of one file in COCO's format that has no defects."""
    uses = Counter(annotation["category_id"] for annotation in content["annotations"])
    ids = [category["id"] for category in content["categories"]]
    names = [str(category.get("name")) for category in content["categories"]]
    boxes = np.array([annotation.get("bbox") or [np.nan] * 4 for annotation in content["annotations"]])
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1) if len(boxes) else boxes
    notes = explain_phantom_class(names, ids, [uses[number] for number in ids]), explain_equal_names(names, ids)
    yield from filter(None, (*notes, explain_relative_boxes(corners)))


def explain_phantom_class(names: Sequence[str], ids: Sequence[int], counts: Sequence[int]) -> str | None:
    """Return a message if category 0 is without objects and others are not; `counts` [C] are the objects of each."""
    if 0 not in ids or len(ids) < 2 or counts[ids.index(0)] or not any(counts):
        return None
    return (
        f"category 0, {names[ids.index(0)]!r}, has no object. Exports of Roboflow add one for the whole project; if it "
        "is that, delete it from `categories` of all files: as it is, the model has a class too many"
    )


def explain_equal_names(names: Sequence[str], ids: Sequence[int]) -> str | None:
    """Return a message if two categories have one name."""
    name, number = Counter(names).most_common(1)[0]
    if number == 1:
        return None
    equal = ", ".join(str(category) for category, other in zip(ids, names, strict=True) if other == name)
    return (
        f"the categories {equal} are all called {name!r}, and are learned as {number} classes: name each as it is, or "
        "make them one category"
    )


def explain_relative_boxes(boxes: NDArray[np.floating[Any]]) -> str | None:
    """Return a message if all boxes [n, 4] lie within the first pixel of their images; None without boxes."""
    if not (len(boxes) and boxes.max() <= 1):  # nan too: a box that the file leaves out
        return None
    return (
        "every box lies within the first pixel of its image, so these seem to be shares of width and height: a bbox is "
        "[x, y, width, height] in pixels"
    )


def explain_shared_images(train: IndexedDataset, val: IndexedDataset, *, every_file: bool) -> str | None:
    """Return how many images of val are in train too, and which; None if no such image was found.

    every_file: compare the contents of all files; else of some files with one name, and of some with one size, which
    have one content if a copy was renamed
    """
    pairs = _find_equal_files(train, val, None) if every_file else _find_equal_names(train, val)
    if not pairs and not every_file and len(train) + len(val) <= SIZES_AT_START:
        pairs = _find_equal_files(train, val, FILES_AT_START)
    examples = [f"{val.columns.file_name(b)} = {train.columns.file_name(a)}" for a, b in pairs[:EXAMPLES]]
    if not pairs:
        return None
    share = f"{len(pairs)} of {len(val)}" if every_file else f"at least {len(pairs)} of {len(val)}"
    return f"{share} images of val are in train too, so that its scores flatter the model: {', '.join(examples)}"


def _find_equal_names(train: IndexedDataset, val: IndexedDataset) -> list[tuple[int, int]]:
    """Return positions (train, val) of images that are one file, or files with one name and one content."""
    positions = {name: position for position, name in enumerate(_names(train))}
    same = [(positions[name], b) for b, name in enumerate(_names(val)) if name in positions]
    stride = max(1, -(-len(same) // FILES_AT_START))
    return [pair for pair in same[::stride] if _are_equal(train.path(pair[0]), val.path(pair[1]))]


def _find_equal_files(train: IndexedDataset, val: IndexedDataset, most: int | None) -> list[tuple[int, int]]:
    """Return positions (train, val) of images with one content. Only files of equal size are read, `most` of val."""
    sizes = [{position: _size(split.path(position)) for position in range(len(split))} for split in (train, val)]
    both = set(sizes[0].values()) & set(sizes[1].values()) - {-1}
    shared = [size for size in sizes[1].values() if size in both]
    common = set(shared[:: max(1, -(-len(shared) // most))] if most else shared)
    digests = [
        _digest_files(split, (position for position, size in of_split.items() if size in common))
        for split, of_split in zip((train, val), sizes, strict=True)
    ]
    return [(digests[0][digest][0], b) for digest, group in digests[1].items() if digest in digests[0] for b in group]


def _digest_files(split: IndexedDataset, positions: Iterable[int]) -> Digests:
    digests: Digests = {}
    for position in positions:
        digests.setdefault(_digest(split.path(position)), []).append(position)
    return digests


def _names(split: IndexedDataset) -> list[bytes]:
    """Return the name of each image's file, without its folder."""
    return [name.rpartition(b"/")[2] for name in split.columns.file_names.rows()]


def _are_equal(first: Path, second: Path) -> bool:
    if os.path.realpath(first) == os.path.realpath(second):
        return True
    return _size(first) == _size(second) != -1 and _digest(first) == _digest(second)


def _size(path: Path) -> int:
    """Return the size of a file; -1 without one."""
    try:
        return os.stat(path).st_size
    except OSError:
        return -1


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _join(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
