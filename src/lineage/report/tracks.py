"""Tracks of objects through the frames of a video, so that each keeps its number and its colour.

The tracker goes by overlap alone, as IOU tracking does (Bochinski et al., AVSS 2017): the pairs of a track and a
detection of its class that overlap most are taken first; a track without a detection waits for some frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Box = Sequence[float]  # x, y, width, height, as in COCO


@dataclass(slots=True)
class Track:
    number: int
    category_id: int
    box: Box
    last_frame: int


class IoUTracker:
    """Assigns each detection of a frame to a track.

    min_iou   overlap with the last box of a track from which on a detection is the same object
    patience  frames for which a track without a detection waits
    """

    def __init__(self, *, min_iou: float = 0.3, patience: int = 10) -> None:
        self.min_iou, self.patience = min_iou, patience
        self._tracks: list[Track] = []
        self._frame = self._count = 0

    def update(self, records: Sequence[dict[str, Any]]) -> list[int]:
        """Return the number of the track of each COCO record of the next frame; numbers start at 1."""
        # 1. Let tracks go that have waited for too long.
        self._frame += 1
        self._tracks = [track for track in self._tracks if self._frame - track.last_frame <= self.patience + 1]
        # 2. Pairs of one class, those that overlap most first.
        ious = overlaps([track.box for track in self._tracks], [record["bbox"] for record in records])
        pairs = sorted(
            (-ious[row, column], row, column)
            for row, track in enumerate(self._tracks)
            for column, record in enumerate(records)
            if track.category_id == record["category_id"] and ious[row, column] >= self.min_iou
        )
        assigned: dict[int, Track] = {}
        taken: set[int] = set()
        for _, row, column in pairs:
            if row not in taken and column not in assigned:
                assigned[column] = self._tracks[row]
                taken.add(row)
        # 3. The rest are new objects.
        for column, record in enumerate(records):
            if column not in assigned:
                assigned[column] = self._begin(record)
            assigned[column].box, assigned[column].last_frame = record["bbox"], self._frame
        return [assigned[column].number for column in range(len(records))]

    def _begin(self, record: dict[str, Any]) -> Track:
        self._count += 1
        self._tracks.append(Track(self._count, record["category_id"], record["bbox"], self._frame))
        return self._tracks[-1]


def overlaps(boxes: Sequence[Box], others: Sequence[Box]) -> NDArray[np.float64]:
    """Return the IoU [n, m] of boxes as x, y, width, height."""
    a, b = (np.array(group, np.float64).reshape(-1, 4) for group in (boxes, others))
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, :2] + a[:, None, 2:], b[None, :, :2] + b[None, :, 2:])
    shared = (high - low).clip(0).prod(2)
    union = a[:, None, 2:].prod(2) + b[None, :, 2:].prod(2) - shared
    return shared / np.maximum(union, 1e-9)
