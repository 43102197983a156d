"""The annotations of a dataset as a few flat arrays, whatever format they came in.

COCO's training annotations are 2.4 GB of Python objects once parsed, and reading any of them touches its reference
count, so that every worker process ends up with a copy. Arrays are a tenth of that and stay shared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lineage.data.annotations.packed_masks import packed

Record = Mapping[str, Any]
Array = NDArray[Any]


class Strings(NamedTuple):
    """n byte strings in one array."""

    text: NDArray[np.uint8]
    first: Array  # [n + 1]

    def __call__(self, i: int) -> bytes:
        return self.text[self.first[i] : self.first[i + 1]].tobytes()

    def __len__(self) -> int:  # of strings, not of the two arrays
        return len(self.first) - 1


class Points(NamedTuple):
    """The keypoints of n objects, of each only the joints its class has: 13 classes of clothes share 294."""

    values: NDArray[np.float32]  # [m, 3] (x, y, visibility) at pixel centres
    first: Array  # [n + 1]
    joint: NDArray[np.int64]  # [n] which of all joints an object's first is

    def dense(self, rows: range, joints: int) -> NDArray[np.float32]:
        """[len(rows), joints, 3]; a joint that is not there is not visible."""
        found = np.zeros((len(rows), joints, 3), np.float32)
        found[..., :2] = 0.5
        for one, i in zip(found, rows, strict=True):
            values = self.values[self.first[i] : self.first[i + 1]]
            one[self.joint[i] : self.joint[i] + len(values)] = values
        return found


class Columns(NamedTuple):
    """I images and n objects, those of image i at first[i]:first[i + 1]; places, labels and offsets are narrow."""

    ids: NDArray[np.int64]  # [I]
    sizes: NDArray[np.int64]  # [I, 2] (height, width)
    names: Strings  # [I] paths of the files inside the image folder
    image_places: NDArray[np.int64]  # [I] where in the file's list an image was
    first: Array  # [I + 1]
    boxes: NDArray[np.float32]  # [n, 4] XYXY
    labels: Array  # [n]
    crowd: NDArray[np.bool_]  # [n]
    numbers: NDArray[np.int64]  # [n] annotation ids
    places: Array  # [n] where in the file's list an annotation was
    areas: NDArray[np.float64]  # [n]
    masks: Strings | None  # see mask_code
    keypoints: Points | None
    extra: dict[str, Array]  # [n] whole numbers that only one format knows, such as VOC's `difficult`
    more: dict[str, Array]  # of any shape, by places in the file

    def flat(self) -> dict[str, Array]:
        """As an index keeps them."""
        found: dict[str, Array] = {}
        for name, value in self._asdict().items():
            parts = value._asdict() if isinstance(value, Strings | Points) else value
            if isinstance(parts, dict):
                found |= {f"{name}.{part}": column for part, column in parts.items()}
            elif parts is not None:
                found[name] = parts
        return found

    def digest(self) -> str:
        """sha256 over what training and evaluation read."""
        found = hashlib.sha256()
        for name, column in sorted(self.flat().items()):
            if name not in ("places", "image_places"):
                found.update(name.encode())
                found.update(np.ascontiguousarray(column).data)
        return found.hexdigest()


def restored(flat: Mapping[str, Array]) -> Columns:
    """The inverse of `flat`."""
    parts: dict[str, dict[str, Array]] = {"names": {}, "masks": {}, "keypoints": {}, "extra": {}, "more": {}}
    plain: dict[str, Any] = {}
    for name, column in flat.items():
        head, _, part = name.partition(".")
        (parts[head] if part else plain)[part or name] = column
    return Columns(
        **plain,
        names=Strings(**parts["names"]),
        masks=Strings(**parts["masks"]) if parts["masks"] else None,
        keypoints=Points(**parts["keypoints"]) if parts["keypoints"] else None,
        extra=parts["extra"],
        more=parts["more"],
    )


class Kept(NamedTuple):
    """Records of a file that can be used, with their places in it."""

    images: Sequence[tuple[int, Record]]
    annotations: Sequence[tuple[int, Record]]


def columns(kept: Kept, labels: Mapping[int, int], joints: bool = False, extra: Sequence[str] = ()) -> Columns:
    """`labels` maps category ids to 0..C-1; the annotations belong to these images and have been checked."""
    images = [image for _, image in kept.images]
    place = {image["id"]: i for i, image in enumerate(images)}
    shapes = [(int(image["height"]), int(image["width"])) for image in images]
    ordered = sorted(kept.annotations, key=lambda one: place[one[1]["image_id"]])
    found = [one for _, one in ordered]
    owners = np.array([place[one["image_id"]] for one in found], np.int64)
    boxes = np.array([one["bbox"] for one in found], np.float64).reshape(-1, 4)
    areas = np.array([_area(one) for one in found], np.float64)
    boxes[:, 2:] += boxes[:, :2]
    has_masks = any(one.get("segmentation") for one in found)
    return Columns(
        ids=np.array([image["id"] for image in images], np.int64),
        sizes=np.array(shapes, np.int64).reshape(-1, 2),
        names=strings([image["file_name"].encode(errors="surrogateescape") for image in images]),
        image_places=np.array([at for at, _ in kept.images], np.int64),
        first=narrow(np.searchsorted(owners, np.arange(len(images) + 1))),
        boxes=boxes.astype(np.float32),
        labels=narrow(np.array([labels[one["category_id"]] for one in found], np.int64)),
        crowd=np.array([bool(one.get("iscrowd")) for one in found], np.bool_),
        numbers=np.array([one["id"] for one in found], np.int64),
        places=narrow(np.array([at for at, _ in ordered], np.int64)),
        areas=areas,
        masks=strings([packed(one, shapes[owner]) for one, owner in zip(found, owners.tolist(), strict=True)])
        if has_masks
        else None,
        keypoints=_keypoints(found) if joints else None,
        extra={name: np.array([one.get(name, 0) for one in found], np.int64) for name in extra},
        more={},
    )


def select(data: Columns, keep: Array) -> Columns:
    """Only the images at these positions, in memory."""
    counts = np.diff(data.first)[keep]
    spans = [np.arange(data.first[i], data.first[i + 1]) for i in keep.tolist()]
    rows = np.concatenate([np.zeros(0, np.int64), *spans])
    of_rows = {name: getattr(data, name)[rows] for name in ("boxes", "labels", "crowd", "numbers", "places", "areas")}
    return data._replace(
        ids=data.ids[keep],
        sizes=data.sizes[keep],
        image_places=data.image_places[keep],
        names=strings([data.names(i) for i in keep.tolist()]),
        first=np.concatenate([[0], counts.cumsum()]),
        masks=None if data.masks is None else strings([data.masks(i) for i in rows.tolist()]),
        keypoints=None if data.keypoints is None else _points_of(data.keypoints, rows),
        extra={name: column[rows] for name, column in data.extra.items()},
        **of_rows,
    )


def partial_records(data: Columns) -> Callable[[int], dict[str, Any]]:
    """What a look at an image's file has to know, by position."""

    def record(i: int) -> dict[str, Any]:
        height, width = data.sizes[i].tolist()
        name = data.names(i).decode(errors="surrogateescape")
        return {"id": int(data.ids[i]), "file_name": name, "height": height, "width": width}

    return record


def _points_of(points: Points, rows: Array) -> Points:
    counts = np.diff(points.first)[rows]
    first = np.concatenate([[0], counts.cumsum()])
    source = np.repeat(points.first[rows] - first[:-1], counts) + np.arange(first[-1])
    return Points(points.values[source], first, points.joint[rows])


def strings(rows: Sequence[bytes]) -> Strings:
    """Pack them."""
    return Strings(np.frombuffer(b"".join(rows), np.uint8), _ends(rows))


def narrow(numbers: Array) -> Array:
    """In the narrowest signed type that holds them; they are not negative."""
    return numbers.astype(np.min_scalar_type(-1 - int(numbers.max(initial=0))))


def _ends(rows: Sequence[Any]) -> Array:
    return narrow(np.cumsum([0, *(len(one) for one in rows)], dtype=np.int64))


def _area(one: Record) -> float:
    area = one.get("area")
    return float(one["bbox"][2] * one["bbox"][3] if area is None else area)


def _keypoints(annotations: Sequence[Record]) -> Points:
    rows = [np.array(one.get("keypoints") or [], np.float32).reshape(-1, 3) for one in annotations]
    values = np.concatenate([np.zeros((0, 3), np.float32), *rows])
    values[:, :2] += 0.5
    return Points(
        values=values,
        first=_ends(rows),
        joint=np.array([one.get("first_keypoint", 0) for one in annotations], np.int64),
    )
