"""Columns: the annotations of a dataset as a few flat arrays, whatever format they came in.

COCO's training annotations are 2.4 GB of Python objects once parsed, and reading any of them touches its reference
count, so that every worker process ends up with a copy. Arrays are a tenth of that and stay shared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lineage.data.annotations.filters import FilteredRecords
from lineage.data.annotations.id_lookup import IdLookup, to_integers
from lineage.data.annotations.packed_masks import pack_masks
from lineage.data.annotations.polygon_table import to_floats

Record = Mapping[str, Any]
Array = NDArray[Any]

# Names of columns in indexes and fingerprints, where they differ from the fields below. They never change: entries of
# runs hold the fingerprint of their dataset.
STORED_NAMES = {
    "image_ids": "ids",
    "image_sizes": "sizes",
    "file_names": "names",
    "image_positions": "image_places",
    "offsets": "first",
    "annotation_ids": "numbers",
    "annotation_positions": "places",
    "first_keypoint": "joint",
    "file_columns": "more",
}


class Strings(NamedTuple):
    """n byte strings in one array."""

    text: NDArray[np.uint8]
    offsets: Array  # [n + 1]

    def __call__(self, i: int) -> bytes:
        return self.text[self.offsets[i] : self.offsets[i + 1]].tobytes()

    def rows(self) -> list[bytes]:
        text = self.text.tobytes()
        return [text[start:end] for start, end in pairwise(self.offsets.tolist())]

    def __len__(self) -> int:  # of strings, not of the two arrays
        return len(self.offsets) - 1


class Points(NamedTuple):
    """Keypoints of n objects, of each only those that its class has: 13 classes of clothes share 294."""

    values: NDArray[np.float32]  # [m, 3] (x, y, visibility) at pixel centres
    offsets: Array  # [n + 1]
    first_keypoint: NDArray[np.int64]  # [n] the index of an object's first keypoint among all K

    def dense(self, rows: range, count: int) -> NDArray[np.float32]:
        """Return [len(rows), count, 3]; keypoints that an object does not have are not visible."""
        points = np.zeros((len(rows), count, 3), np.float32)
        points[..., :2] = 0.5
        for object_points, row in zip(points, rows, strict=True):
            values = self.values[self.offsets[row] : self.offsets[row + 1]]
            start = self.first_keypoint[row]
            object_points[start : start + len(values)] = values
        return points


class Columns(NamedTuple):
    """I images and n objects, those of image i at `rows(i)`. Positions, labels and offsets have narrow types."""

    image_ids: NDArray[np.int64]  # [I]
    image_sizes: NDArray[np.int64]  # [I, 2] (height, width)
    file_names: Strings  # [I] paths of the files inside the image folder
    image_positions: NDArray[np.int64]  # [I] positions of the images in the list of the annotation file
    offsets: Array  # [I + 1]
    boxes: NDArray[np.float32]  # [n, 4] XYXY
    labels: Array  # [n]
    crowd: NDArray[np.bool_]  # [n]
    annotation_ids: NDArray[np.int64]  # [n]
    annotation_positions: Array  # [n] positions of the annotations in the list of the annotation file
    areas: NDArray[np.float64]  # [n]
    masks: Strings | None  # see packed_masks
    keypoints: Points | None
    extra: dict[str, Array]  # [n] whole numbers of one format, such as VOC's `difficult`
    file_columns: dict[str, Array]  # of any shape, by positions in the annotation file

    def rows(self, image: int) -> range:
        """Return the rows of the objects of an image."""
        return range(int(self.offsets[image]), int(self.offsets[image + 1]))

    def file_name(self, image: int) -> str:
        return self.file_names(image).decode(errors="surrogateescape")

    def image_records(self) -> Iterator[dict[str, Any]]:
        """Yield what a check of each image's file reads, as COCO writes it."""
        ids, sizes = self.image_ids.tolist(), self.image_sizes.tolist()
        for image_id, (height, width), name in zip(ids, sizes, self.file_names.rows(), strict=True):
            file_name = name.decode(errors="surrogateescape")
            yield {"id": image_id, "file_name": file_name, "height": height, "width": width}

    def flatten(self) -> dict[str, Array]:
        """Return all arrays by the names that an index stores them under, such as `masks.text`."""
        flat: dict[str, Array] = {}
        for field, value in self._asdict().items():
            name = STORED_NAMES.get(field, field)
            if isinstance(value, Strings | Points):
                flat |= {f"{name}.{STORED_NAMES.get(part, part)}": array for part, array in value._asdict().items()}
            elif isinstance(value, dict):
                flat |= {f"{name}.{key}": array for key, array in value.items()}
            elif value is not None:
                flat[name] = value
        return flat

    def digest(self) -> str:
        """Return the sha256 over everything that training and evaluation read."""
        digest = hashlib.sha256()
        for name, column in sorted(self.flatten().items()):
            if name not in ("places", "image_places"):
                digest.update(name.encode())
                digest.update(np.ascontiguousarray(column).data)
        return digest.hexdigest()


def unflatten(flat: Mapping[str, Array]) -> Columns:
    """Invert `Columns.flatten`."""
    fields = {stored: field for field, stored in STORED_NAMES.items()}
    groups: dict[str, dict[str, Array]] = {"names": {}, "masks": {}, "keypoints": {}, "extra": {}, "more": {}}
    arrays: dict[str, Any] = {}
    for name, column in flat.items():
        head, _, part = name.partition(".")
        if part:
            groups[head][part if head in ("extra", "more") else fields.get(part, part)] = column
        else:
            arrays[fields.get(head, head)] = column
    return Columns(
        **arrays,
        file_names=Strings(**groups["names"]),
        masks=Strings(**groups["masks"]) if groups["masks"] else None,
        keypoints=Points(**groups["keypoints"]) if groups["keypoints"] else None,
        extra=groups["extra"],
        file_columns=groups["more"],
    )


def build_columns(
    records: FilteredRecords, labels: Mapping[int, int], *, keypoints: bool = False, extra: Sequence[str] = ()
) -> Columns:
    """Convert COCO records without defects to columns; the annotations are those of these images.

    labels: category id -> 0..C-1
    keypoints: store the keypoints too
    extra: names of further fields of annotations, whole numbers, to store
    """
    # 1. Images in the order of the file.
    images = [image for _, image in records.images]
    sizes = np.array([(int(image["height"]), int(image["width"])) for image in images], np.int64).reshape(-1, 2)
    # 2. Annotations in the order of the file: those parsed together lie together in memory. `order` groups them by
    #    image, within an image in the order of the file.
    annotations = [annotation for _, annotation in records.annotations]
    lookup = IdLookup(image["id"] for image in images)
    owners = lookup.find(to_integers(annotation["image_id"] for annotation in annotations))
    order = np.argsort(owners, kind="stable")
    # 3. Boxes from (x, y, width, height) to corners, in float64: the sum is rounded once.
    coordinates = chain.from_iterable([annotation["bbox"] for annotation in annotations])
    boxes = np.fromiter(coordinates, np.float64).reshape(-1, 4)[order]
    boxes[:, 2:] += boxes[:, :2]
    # 4. Masks and keypoints as packed rows, if any object has them.
    has_masks = any(annotation.get("segmentation") for annotation in annotations)
    masks = pack_masks(annotations, sizes[owners]) if has_masks else []
    return Columns(
        image_ids=np.array([image["id"] for image in images], np.int64),
        image_sizes=sizes,
        file_names=join_strings([image["file_name"].encode(errors="surrogateescape") for image in images]),
        image_positions=np.array([position for position, _ in records.images], np.int64),
        offsets=narrow(np.searchsorted(owners[order], np.arange(len(images) + 1))),
        boxes=boxes.astype(np.float32),
        labels=narrow(to_integers(labels[annotation["category_id"]] for annotation in annotations)[order]),
        crowd=np.array([bool(annotation.get("iscrowd")) for annotation in annotations], np.bool_)[order],
        annotation_ids=to_integers(annotation["id"] for annotation in annotations)[order],
        annotation_positions=narrow(to_integers(position for position, _ in records.annotations)[order]),
        areas=_read_areas(annotations)[order],
        masks=join_strings([masks[row] for row in order.tolist()]) if has_masks else None,
        keypoints=_join_points([annotations[row] for row in order.tolist()]) if keypoints else None,
        extra={name: to_integers(annotation.get(name, 0) for annotation in annotations)[order] for name in extra},
        file_columns={},
    )


def select_images(columns: Columns, positions: Array) -> Columns:
    """Return the columns of the images at these positions, in memory."""
    counts = np.diff(columns.offsets)[positions]
    spans = [np.arange(columns.offsets[i], columns.offsets[i + 1]) for i in positions.tolist()]
    rows = np.concatenate([np.zeros(0, np.int64), *spans])
    return _take_objects(columns, rows)._replace(
        image_ids=columns.image_ids[positions],
        image_sizes=columns.image_sizes[positions],
        image_positions=columns.image_positions[positions],
        file_names=join_strings([columns.file_names(i) for i in positions.tolist()]),
        offsets=np.concatenate([[0], counts.cumsum()]),
    )


def select_objects(columns: Columns, keep: NDArray[np.bool_]) -> Columns:
    """Return the columns with the objects where `keep` [n] is true, in memory; all images stay."""
    kept_before = np.concatenate([[0], keep.cumsum()])
    return _take_objects(columns, np.flatnonzero(keep))._replace(offsets=kept_before[columns.offsets])


def has_mask(columns: Columns) -> NDArray[np.bool_]:
    """Return [n] whether each object has a mask; crowds need none."""
    if columns.masks is None:
        return np.ones(len(columns.labels), np.bool_)
    return (np.diff(columns.masks.offsets) > 0) | columns.crowd


def _take_objects(columns: Columns, rows: Array) -> Columns:
    """Return the columns of objects at these rows; those of images stay as they are."""
    by_object = ("boxes", "labels", "crowd", "annotation_ids", "annotation_positions", "areas")
    return columns._replace(
        masks=None if columns.masks is None else join_strings([columns.masks(row) for row in rows.tolist()]),
        keypoints=None if columns.keypoints is None else _select_points(columns.keypoints, rows),
        extra={name: column[rows] for name, column in columns.extra.items()},
        **{name: getattr(columns, name)[rows] for name in by_object},
    )


def _select_points(points: Points, rows: Array) -> Points:
    counts = np.diff(points.offsets)[rows]
    offsets = np.concatenate([[0], counts.cumsum()])
    source = np.repeat(points.offsets[rows] - offsets[:-1], counts) + np.arange(offsets[-1])
    return Points(points.values[source], offsets, points.first_keypoint[rows])


def join_strings(rows: Sequence[bytes]) -> Strings:
    return Strings(np.frombuffer(b"".join(rows), np.uint8), _offsets(rows))


def narrow(numbers: Array) -> Array:
    """Convert numbers of zero or more to the narrowest signed type that holds them."""
    return numbers.astype(np.min_scalar_type(-1 - int(numbers.max(initial=0))))


def _offsets(rows: Sequence[Any]) -> Array:
    return narrow(np.cumsum([0, *map(len, rows)], dtype=np.int64))


def _read_areas(annotations: Sequence[Record]) -> NDArray[np.float64]:
    """Return the areas; of an annotation that states none, that of its box."""
    areas = [annotation.get("area") for annotation in annotations]
    for row in [row for row, area in enumerate(areas) if area is None]:
        areas[row] = annotations[row]["bbox"][2] * annotations[row]["bbox"][3]
    return to_floats([areas])


def _join_points(annotations: Sequence[Record]) -> Points:
    """Store keypoints at pixel centres: COCO counts pixels, so 0.5 is added."""
    rows = [np.array(annotation.get("keypoints") or [], np.float32).reshape(-1, 3) for annotation in annotations]
    values = np.concatenate([np.zeros((0, 3), np.float32), *rows])
    values[:, :2] += 0.5
    first = np.array([annotation.get("first_keypoint", 0) for annotation in annotations], np.int64)
    return Points(values, _offsets(rows), first)
