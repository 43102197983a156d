"""Triplets of REDS_VTSR (AIM 2019): the same scenes at 15, 30 and 60 frames per second.

    ROOT/train/train_15fps/000/00000000.png  00000008.png  00000016.png ...    every eighth number
    ROOT/train/train_30fps/000/00000004.png ...                                those of 15 fps too, or not
    ROOT/train/train_60fps/000/00000002.png  00000006.png ...

The folder of a rate may also be ROOT/train_15fps or ROOT/train/15fps.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lineage.data.frames.clip_files import read_picture, resolve_root
from lineage.data.frames.triplets import FrameError, FrameTriplets, Size, Triplet

SPACING = 8  # numbers from one frame of 15 fps to the next
STEP_OF_RATE = {15: 8, 30: 4, 60: 2}  # frames per second -> numbers from a frame to the next


class Sequences(NamedTuple):
    """Reader of the sequences of a split."""

    folders: dict[int, Path]  # frames per second -> folder of sequences
    names: Sequence[str]
    sizes: Sequence[Size]

    def read_frame(self, clip: int, time: float) -> NDArray[np.uint8]:
        """Return frame number `time`, from the lowest rate that has it."""
        return read_picture(self.locate(clip, int(time)))

    def read_flow(self, clip: int, start: float, end: float) -> None:
        return None

    def locate(self, clip: int, number: int) -> Path:
        rate = next(rate for rate, step in STEP_OF_RATE.items() if number % step == 0)
        return self.folders[rate] / self.names[clip] / f"{number:08d}.png"


def load(*, root: str | None, split: str, time: float) -> FrameTriplets:
    """Return triplets: consecutive frames at 15 fps, and the one at `time` between them from 30 or 60 fps.

    split  train, val or test
    time   0.25, 0.5 or 0.75
    """
    if time not in (0.25, 0.5, 0.75):
        raise FrameError(f"dataset.time={time:g}: REDS_VTSR has frames at 0.25, 0.5 and 0.75 between those of 15 fps")
    rates = (15, 30) if time == 0.5 else (15, 60)
    folders = {rate: find_folder(resolve_root(root), split, rate) for rate in rates}
    names = sorted(path.name for path in folders[15].iterdir() if path.is_dir())
    triplets, sizes = [], []
    for clip, name in enumerate(names):
        numbers = sorted(int(file.stem) for file in (folders[15] / name).glob("*.png") if file.stem.isdecimal())
        if not numbers:
            raise FrameError(f"{folders[15] / name}: no frame, such as 00000000.png")
        sizes.append(read_picture(folders[15] / name / f"{numbers[0]:08d}.png").shape[:2])
        starts = [number for number in numbers if number + SPACING in numbers]
        triplets += [Triplet(clip, start, start + int(SPACING * time), start + SPACING) for start in starts]
    reader = Sequences(folders, names, sizes)
    absent = [file for triplet in triplets if not (file := reader.locate(triplet.clip, int(triplet.middle))).is_file()]
    if absent or not triplets:
        detail = (
            f"frames are missing: {len(absent)}, such as {absent[0]}" if absent else "it has no two frames in a row"
        )
        raise FrameError(f"{folders[15].parent}: {detail}")
    return FrameTriplets(reader, triplets, ("REDS_VTSR", split, names, sizes), folders[15])


def find_folder(root: Path, split: str, rate: int) -> Path:
    """Return the folder of a split and a rate. Raises FrameError with the places that were looked at."""
    places = [root / split / f"{split}_{rate}fps", root / f"{split}_{rate}fps", root / split / f"{rate}fps"]
    for place in places:
        if place.is_dir():
            return place
    listed = " or ".join(map(str, places))
    raise FrameError(f"REDS_VTSR at {rate} fps is not here: no folder {listed}. Unpack {split}_{rate}fps.zip there, "
                     "or name its place: dataset.root=FOLDER")  # fmt: skip
