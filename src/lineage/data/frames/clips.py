"""Triplets of any folder of clips: video files, and folders of numbered pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lineage.data.frames.clip_files import Clip, find_clips, resolve_root
from lineage.data.frames.triplets import FrameError, FrameTriplets, Triplet


class ClipReader:
    """Reader of clips on disk, whose motion nobody has measured."""

    def __init__(self, clips: Sequence[Clip]) -> None:
        self.clips = clips
        self.names = [clip.name for clip in clips]
        self.sizes = [clip.size for clip in clips]

    def read_frame(self, clip: int, time: float) -> NDArray[np.uint8]:
        return self.clips[clip].read(int(time))

    def read_flow(self, clip: int, start: float, end: float) -> None:
        return None


def load(
    *, root: str | None, time: float, interval: int, stride: int, part: Sequence[float], only: Sequence[str] = ()
) -> FrameTriplets:
    """Return triplets of the clips in a folder.

    root      a folder of videos, of folders of pictures, or a single video; None: not named yet, an error
    time      of the frame between two given ones; time * interval is a whole number
    interval  number of the second given frame minus that of the first
    stride    number of the first frame of a triplet minus that of the triplet before
    part      (start, end) of each clip, from 0 to 1: [0, 0.8] are its first four fifths
    only      names of clips; none: all
    """
    # 1. The frame that is asked for exists.
    middle = round(time * interval, 6)
    if not (middle.is_integer() and 0 < middle < interval):
        raise FrameError(
            f"dataset.time={time:g} of dataset.interval={interval} is frame {middle:g}, which no clip has: their "
            "product is a whole number, such as time=0.5 interval=2 or time=0.25 interval=4"
        )
    # 2. The clips that are meant.
    folder = resolve_root(root)
    clips = [clip for clip in find_clips(folder) if not only or clip.name in only]
    if not clips:
        raise FrameError(f"{folder} has no clip{f' named {list(only)}' if only else ''}: a clip is a video file, or a "
                         "folder of pictures")  # fmt: skip
    # 3. Their triplets.
    triplets = []
    for number, clip in enumerate(clips):
        first, end = (round(share * clip.length) for share in part)
        starts = range(first, end - interval, stride)
        triplets += [Triplet(number, start, start + int(middle), start + interval) for start in starts]
    if not triplets:
        longest = max(clip.length for clip in clips)
        advice = "take longer clips" if interval == 2 else "lower dataset.interval, or take longer clips"
        raise FrameError(
            f"{folder}: its longest clip has {longest} frame{'s' * (longest != 1)}, and the part {list(part)} of it is "
            f"shorter than a triplet, {interval + 1} frames: {advice}"
        )
    key = [(clip.name, clip.length, clip.size, clip.bytes) for clip in clips]
    return FrameTriplets(ClipReader(clips), triplets, key, folder)
