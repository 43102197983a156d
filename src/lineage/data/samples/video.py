"""Videos as frames: read one after the other, written at a constant rate.

The suffix of a file that is written determines its codec: .mp4 and .webm VP9, which browsers play; .avi Motion JPEG,
which is quick; .mkv FFV1, whose frames are read back as they were.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lineage.data.samples.image import MEGAPIXELS
from lineage.results.atomic import atomic_path

Frame = NDArray[np.uint8]  # [h, w, 3] RGB

VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")  # suffixes of files that are read
TEXT = 6  # bytes at the start, of which a video has some that are no text
CODECS = {".mp4": "vp09", ".webm": "VP90", ".avi": "MJPG", ".mkv": "FFV1"}  # of files that are written
NO_VIDEO = "is not a video OpenCV can read, or has no frame"
USUAL_RATE = 25.0  # frames per second of a file that does not say


class VideoError(RuntimeError):
    """A video that cannot be read or written; the message names the file and what to do."""


def read_frames(path: Path, every: int = 1) -> Iterator[Frame]:
    """Yield each `every`-th frame from the first on, upright, as [h, w, 3] uint8 RGB.

    Raises VideoError if the file is not a video, has no frame, or holds one that cannot be decoded or is of another
    size than the first.
    """
    shape: tuple[int, ...] | None = None
    with _open(path) as video:
        for number in count():
            if not video.grab():
                break
            if number % every == 0:
                frame = _retrieve(video, path, number)
                shape = shape or frame.shape
                if frame.shape != shape:
                    raise VideoError(f"{path}: frame {number} is of {frame.shape[:2]}, the first of {shape[:2]}")
                yield frame
        if number == 0:
            raise VideoError(f"{path}: {NO_VIDEO}")


def _retrieve(video: cv2.VideoCapture, path: Path, number: int) -> Frame:
    try:
        is_decoded, pixels = video.retrieve()
        if is_decoded:
            return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
    except cv2.error as error:
        raise VideoError(f"{path}: frame {number} cannot be decoded ({error.err})") from error
    raise VideoError(f"{path}: frame {number} cannot be decoded")


def read_frame_rate(path: Path) -> float:
    """Return the frames per second of a video. Raises VideoError if the file is not a video."""
    with _open(path) as video:
        if not video.isOpened():
            raise VideoError(f"{path}: {NO_VIDEO}")
        rate = float(video.get(cv2.CAP_PROP_FPS))
        return rate if 0 < rate < 1000 else USUAL_RATE  # 0, nan and 90000: containers without a rate


def write_frames(path: Path, frames: Iterable[Frame], fps: float) -> int:
    """Write frames of one size as a video, whole or not at all; return their number.

    Codecs take even sides only: an odd side is extended by its last row or column.
    Raises VideoError if the suffix has no codec here, or the frames are none or differ in size.
    """
    if path.suffix.lower() not in CODECS:
        raise VideoError(f"{path}: videos are written as {', '.join(CODECS)}")
    if not fps > 0:
        raise VideoError(f"{path}: fps={fps:g}; it is above 0")
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise VideoError(f"{path}: there is no frame to write")
    with atomic_path(path) as temporary:
        return _encode(path, temporary, first.shape, chain([first], frames), fps)


def _encode(path: Path, target: Path, shape: tuple[int, ...], frames: Iterable[Frame], fps: float) -> int:
    """Write the frames to `target`; `path` is the file that messages name."""
    height, width = shape[0] + shape[0] % 2, shape[1] + shape[1] % 2
    code = cv2.VideoWriter.fourcc(*CODECS[path.suffix.lower()])
    writer = cv2.VideoWriter(str(target), cv2.CAP_FFMPEG, code, fps, (width, height))
    number = 0
    try:
        if not writer.isOpened():
            raise VideoError(
                f"{path}: this OpenCV has no encoder for {path.suffix}; one of {', '.join(CODECS)} may work"
            )
        for frame in frames:
            if frame.shape != shape:
                raise VideoError(f"{path}: frame {number} is {frame.shape}, the first is {shape}; all need one size")
            even = np.pad(frame, ((0, height - shape[0]), (0, width - shape[1]), (0, 0)), mode="edge")
            writer.write(cv2.cvtColor(even, cv2.COLOR_RGB2BGR))
            number += 1
    finally:
        writer.release()
    return number


@contextmanager
def _open(path: Path) -> Iterator[cv2.VideoCapture]:
    """Open a file; OpenCV would also follow an address, a pattern of names, or a list of other files."""
    if not path.is_file():
        raise VideoError(f"{path}: no such file")
    with path.open("rb") as file:
        start = file.read(TEXT).translate(None, b"\r\n\t")
    if start and start.isascii() and start.decode().isprintable() and not start.startswith(b"RIFF"):
        raise VideoError(f"{path}: is a text, such as a list of other files, and no video")
    video = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG)
    try:
        height, width = video.get(cv2.CAP_PROP_FRAME_HEIGHT), video.get(cv2.CAP_PROP_FRAME_WIDTH)
        if height * width > MEGAPIXELS * 1e6:
            raise VideoError(f"{path}: its frames are of {height:.0f} x {width:.0f} pixels; {MEGAPIXELS:g} million are "
                             "allowed, lest a forged file fills the memory")  # fmt: skip
        yield video
    finally:
        video.release()
