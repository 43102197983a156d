"""The detections of many images as a few flat columns: little memory, and cheap to send between processes."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Detected(NamedTuple):
    """I images that own N rows together; a column that the model does not produce is empty."""

    images: NDArray[np.int64]  # [I] image ids
    sizes: NDArray[np.int64]  # [I, 2] (height, width) of the files
    rows: NDArray[np.int64]  # [I] detections of each image
    boxes: NDArray[np.float32]  # [N, 4] xyxy in file pixels
    scores: NDArray[np.float32]  # [N]
    labels: NDArray[np.int64]  # [N]
    rle: NDArray[np.uint8]  # [S] the compressed masks, one after the other
    rle_lengths: NDArray[np.int64]  # [N] characters of each mask
    keypoints: NDArray[np.float32]  # [N, K, 3] (x, y, score), COCO's pixel indices

    def image_of_row(self) -> NDArray[np.int64]:
        """[N] the image id of every detection."""
        return np.repeat(self.images, self.rows)

    def xywh(self) -> NDArray[np.float64]:
        """[N, 4] the boxes as COCO writes them."""
        boxes = self.boxes.astype(np.float64)
        return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)

    def rows_of(self, keep: NDArray[np.bool_]) -> Detected:
        """Only some of the detections, [N] bool, of all images."""
        owner = np.repeat(np.arange(len(self.images)), self.rows)
        columns: dict[str, NDArray[Any]] = {"boxes": self.boxes, "scores": self.scores, "labels": self.labels}
        if len(self.rle_lengths):
            columns["rle_lengths"] = self.rle_lengths
        if len(self.keypoints):
            columns["keypoints"] = self.keypoints
        kept = {name: column[keep] for name, column in columns.items()}
        rle = self.rle[np.repeat(keep, self.rle_lengths)] if len(self.rle_lengths) else self.rle
        return self._replace(**kept, rle=rle, rows=np.bincount(owner[keep], minlength=len(self.images)))

    def masks(self) -> list[dict[str, Any]]:
        """One COCO RLE per detection, ready for JSON."""
        several = zip(self.sizes.tolist(), self.rows.tolist(), strict=True)
        sizes = [size for size, rows in several for _ in range(rows)]  # one list for all masks of an image
        text, ends = self.rle.tobytes().decode("ascii"), np.cumsum(self.rle_lengths)
        spans = zip(sizes, (ends - self.rle_lengths).tolist(), ends.tolist(), strict=True)
        with without_collector():
            return [{"size": size, "counts": text[start:end]} for size, start, end in spans]


@contextmanager
def without_collector() -> Iterator[None]:
    """While half a million dicts without cycles are made, Python would look for cycles among them again and again."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


NOTHING = Detected(
    images=np.zeros(0, np.int64),
    sizes=np.zeros((0, 2), np.int64),
    rows=np.zeros(0, np.int64),
    boxes=np.zeros((0, 4), np.float32),
    scores=np.zeros(0, np.float32),
    labels=np.zeros(0, np.int64),
    rle=np.zeros(0, np.uint8),
    rle_lengths=np.zeros(0, np.int64),
    keypoints=np.zeros((0, 0, 3), np.float32),
)


def concatenate(parts: Sequence[Detected]) -> Detected:
    if not parts:
        return NOTHING
    points = max(part.keypoints.shape[1] for part in parts)  # a part without detections may not know K
    parts = [part._replace(keypoints=part.keypoints.reshape(len(part.keypoints), points, 3)) for part in parts]
    return Detected(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def unique(found: Detected) -> Detected:
    """Each image once: distributed samplers repeat a few so that every process has the same number."""
    image = np.zeros(len(found.images), dtype=bool)
    image[np.unique(found.images, return_index=True)[1]] = True
    if image.all():
        return found
    row = np.repeat(image, found.rows)
    return found.rows_of(row)._replace(images=found.images[image], sizes=found.sizes[image], rows=found.rows[image])
