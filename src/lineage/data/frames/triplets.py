"""The dataset of frame interpolation: triplets of frames, from any reader of clips."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from lineage.data.frames.sample import FrameSample
from lineage.data.samples.metadata import DatasetMeta
from lineage.structures import INTERPOLATION

CACHE = 1 << 26  # bytes of samples that a process keeps: all of a small drawn dataset
Size = tuple[int, int]


class FrameError(ValueError):
    """Clips that cannot be read, or that are too short."""


class Triplet(NamedTuple):
    """Times of three frames of a clip; of a file, a time is the number of a frame."""

    clip: int
    first: float
    middle: float
    second: float


class FrameReader(Protocol):
    """Clips of frames."""

    @property
    def names(self) -> Sequence[str]: ...  # of the clips

    @property
    def sizes(self) -> Sequence[Size]: ...  # (height, width) of each clip

    def read_frame(self, clip: int, time: float) -> NDArray[np.uint8]:
        """Return a frame [h, w, 3], RGB."""
        ...

    def read_flow(self, clip: int, start: float, end: float) -> NDArray[np.float32] | None:
        """Return where each pixel of the frame at `start` is at `end`, as a difference [2, h, w]; None: unknown."""
        ...


class FrameTriplets:
    """Dataset of triplets. It has no classes, so its metadata is empty."""

    task = INTERPOLATION
    meta = DatasetMeta(classes=(), category_ids=())

    def __init__(self, reader: FrameReader, triplets: Sequence[Triplet], key: object, source: Path | None) -> None:
        """Number the triplets from 1; `key` has everything that the pixels depend on."""
        self.reader, self.triplets, self.source = reader, list(triplets), source
        self.fingerprint = hashlib.sha256(repr((key, self.triplets)).encode()).hexdigest()
        self.ids = torch.arange(1, len(self.triplets) + 1)
        sizes = [reader.sizes[triplet.clip] for triplet in self.triplets]
        self.sizes = torch.tensor(sizes, dtype=torch.int64).reshape(-1, 2)
        self.part_lengths: tuple[int, ...] = (len(self.triplets),)
        self.clips = [reader.names[triplet.clip] for triplet in self.triplets]
        largest = 41 * int(self.sizes.prod(1).max())  # bytes of three frames and four flows
        self._stored: dict[int, FrameSample] = {}
        self._most_stored = CACHE // largest

    def __len__(self) -> int:
        return len(self.triplets)

    def __getitem__(self, index: int) -> FrameSample:
        sample = self._stored.get(index)
        if sample is None:
            sample = self._read(index)
            if len(self._stored) < self._most_stored:
                self._stored[index] = sample
        return sample

    def _read(self, index: int) -> FrameSample:
        clip, *times = self.triplets[index]
        first, middle, second = (_to_tensor(self.reader.read_frame(clip, time)) for time in times)
        size = tuple(self.reader.sizes[clip])  # of its first frame
        if any(tuple(frame.shape[1:]) != size for frame in (first, middle, second)):
            sizes = ", ".join(f"{frame.shape[1]} x {frame.shape[2]}" for frame in (first, middle, second))
            raise FrameError(
                f"{self.clips[index]}: frames {times[0]:g}, {times[1]:g} and {times[2]:g} have sizes {sizes}, the "
                f"first of the clip {size[0]} x {size[1]}; all frames of a clip have one"
            )
        start, wanted_time, end = times
        ways = (start, end), (end, start), (wanted_time, start), (wanted_time, end)
        flows = [flow for way in ways if (flow := self.reader.read_flow(clip, *way)) is not None]
        return FrameSample(
            frames=torch.stack((first, second)),
            image=middle,
            flows=torch.from_numpy(np.stack(flows)) if flows else None,
            image_id=index + 1,
            original_size=self.reader.sizes[clip],
        )


def _to_tensor(frame: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(frame.transpose(2, 0, 1)))
