"""The detections of many images as flat columns: little memory, and cheap to send between processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lineage.results.garbage_collection import pause_collection

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Predictions(NamedTuple):
    """N detections in I images; a column that the model does not produce is empty.

    Numbers are float64, so that those of a result file keep every digit; a model's are float32 values.
    """

    images: Ints  # [I] image ids
    sizes: Ints  # [I, 2] (height, width) of the image files
    image_index: Ints  # [N] row of `images` that a detection belongs to
    boxes: Floats  # [N, 4] (x, y, width, height) in pixels of the image file
    scores: Floats  # [N]
    labels: Ints  # [N]
    rle: NDArray[np.uint8]  # [S] characters of the compressed masks, one mask after the other
    rle_lengths: Ints  # [N] number of characters of each mask
    keypoints: Floats  # [N, K, 3] (x, y, score), COCO's pixel indices
    extra: dict[str, Floats]  # {name: [N, ...]} outputs of heads that no column above holds

    def image_ids(self) -> Ints:
        """Return [N] the image id of every detection."""
        return self.images[self.image_index]

    def take(self, rows: Ints) -> Predictions:
        """Return the detections `rows` [n], in that order; all images stay, also those without detections."""
        per_detection = ("image_index", "boxes", "scores", "labels", "rle_lengths", "keypoints")
        columns: dict[str, Any] = {name: getattr(self, name) for name in per_detection}
        columns = {name: column[rows] if len(column) else column for name, column in columns.items()}
        extra = {name: column[rows] for name, column in self.extra.items()}
        return self._replace(**columns, rle=self._take_rle(rows), extra=extra)

    def _take_rle(self, rows: Ints) -> NDArray[np.uint8]:
        if not len(self.rle_lengths):
            return self.rle
        lengths = self.rle_lengths[rows]
        starts = (np.cumsum(self.rle_lengths) - self.rle_lengths)[rows]
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return self.rle[np.repeat(starts, lengths) + within]

    def masks(self) -> list[dict[str, Any]]:
        """Return the COCO RLE of every detection, ready for JSON."""
        sizes = self.sizes.tolist()  # one list for all masks of an image
        text = self.rle.tobytes().decode("ascii")
        ends = np.cumsum(self.rle_lengths)
        spans = zip(self.image_index.tolist(), (ends - self.rle_lengths).tolist(), ends.tolist(), strict=True)
        with pause_collection():
            return [{"size": sizes[image], "counts": text[start:end]} for image, start, end in spans]


NO_PREDICTIONS = Predictions(
    images=np.zeros(0, np.int64),
    sizes=np.zeros((0, 2), np.int64),
    image_index=np.zeros(0, np.int64),
    boxes=np.zeros((0, 4)),
    scores=np.zeros(0),
    labels=np.zeros(0, np.int64),
    rle=np.zeros(0, np.uint8),
    rle_lengths=np.zeros(0, np.int64),
    keypoints=np.zeros((0, 0, 3)),
    extra={},
)


def split_images(predictions: Predictions) -> list[Predictions]:
    """Return the predictions of each image, as predictions of one image."""
    parts = []
    for image in range(len(predictions.images)):
        part = predictions.take(np.flatnonzero(predictions.image_index == image))
        parts.append(part._replace(
            images=part.images[[image]], sizes=part.sizes[[image]], image_index=np.zeros_like(part.image_index)
        ))  # fmt: skip
    return parts


def concatenate(parts: Sequence[Predictions]) -> Predictions:
    """Join predictions of different images."""
    if not parts:
        return NO_PREDICTIONS
    num_keypoints = max(part.keypoints.shape[1] for part in parts)  # 0 in a part without detections
    first_image = np.cumsum([0, *(len(part.images) for part in parts)])
    parts = [
        part._replace(
            image_index=part.image_index + first,
            keypoints=part.keypoints.reshape(len(part.keypoints), num_keypoints, 3),
        )
        for part, first in zip(parts, first_image.tolist(), strict=False)
    ]
    *columns, extras = zip(*parts, strict=True)
    names = dict.fromkeys(name for part in extras for name in part)
    extra = {name: _join([part[name] for part in extras if name in part]) for name in names}
    return Predictions._make([*(np.concatenate(column) for column in columns), extra])


def _join(columns: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Concatenate columns whose empty ones may lack the extents of the others."""
    return np.concatenate([column for column in columns if len(column)] or columns[:1])


def sort_images(predictions: Predictions) -> Predictions:
    """Order images by their ids and drop repetitions, which samplers add so that all processes have as many images.

    The order of an image's detections stays.
    """
    images, first = np.unique(predictions.images, return_index=True)
    position = np.full(len(predictions.images), -1)  # of an image in the new order; -1 for a repetition
    position[first] = np.arange(len(images))
    image_index = position[predictions.image_index]
    rows = np.argsort(image_index, kind="stable")
    rows = rows[image_index[rows] >= 0]
    return predictions._replace(image_index=image_index).take(rows)._replace(
        images=images, sizes=predictions.sizes[first]
    )  # fmt: skip
