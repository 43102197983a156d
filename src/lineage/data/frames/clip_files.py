"""Clips on disk. The frames of a video are decoded once, to a file in the cache that all processes map."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from lineage.data.frames.triplets import FrameError, Size
from lineage.data.samples import image
from lineage.data.samples.video import VIDEOS, read_frames
from lineage.results.atomic import atomic_path

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")


class Clip(Protocol):
    """One video."""

    @property
    def name(self) -> str: ...

    @property
    def length(self) -> int: ...  # frames

    @property
    def size(self) -> Size: ...

    @property
    def bytes(self) -> int: ...  # of the files

    def read(self, number: int) -> NDArray[np.uint8]:
        """Return a frame [h, w, 3], RGB."""
        ...


@dataclass(frozen=True)
class VideoClip:
    """A video file."""

    name: str
    path: Path

    @property
    def length(self) -> int:
        return len(self._frames)

    @property
    def size(self) -> Size:
        height, width = self._frames.shape[1:3]
        return int(height), int(width)

    @property
    def bytes(self) -> int:
        return self.path.stat().st_size

    def read(self, number: int) -> NDArray[np.uint8]:
        return self._frames[number]

    @cached_property
    def _frames(self) -> NDArray[np.uint8]:
        """Return all frames [n, h, w, 3], mapped: memory holds those that are read."""
        stat = self.path.stat()
        key = f"{self.path.absolute()} {stat.st_size} {stat.st_mtime_ns} {cv2.__version__}"
        stored = cache_folder() / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.npy"
        if not stored.is_file():
            write_decoded(self.path, stored)
        frames: NDArray[np.uint8] = np.load(stored, mmap_mode="r")
        return frames


@dataclass(frozen=True)
class PictureClip:
    """A folder of pictures; the order of their names is that of the frames."""

    name: str
    files: tuple[Path, ...]

    @property
    def length(self) -> int:
        return len(self.files)

    @cached_property
    def size(self) -> Size:
        height, width = self.read(0).shape[:2]
        return int(height), int(width)

    @property
    def bytes(self) -> int:
        return sum(file.stat().st_size for file in self.files)

    def read(self, number: int) -> NDArray[np.uint8]:
        return read_picture(self.files[number])


def resolve_root(root: str | None) -> Path:
    """Return the folder that a config names. Raises FrameError if it names none."""
    if root is None:
        raise FrameError("the dataset has no folder: name it by dataset.root=FOLDER")
    return Path(root).expanduser()


def find_clips(folder: Path) -> list[Clip]:
    """Return the clips of a folder by name: videos, and folders that hold pictures; of a file, the one clip it is."""
    if folder.is_file():
        return [VideoClip(folder.name, folder)]
    if not folder.is_dir():
        raise FrameError(f"{folder}: no such folder. Name a folder of clips, or a video: dataset.root=FOLDER")
    videos = [file for file in folder.rglob("*") if file.suffix.lower() in VIDEOS]
    clips: list[Clip] = [VideoClip(file.relative_to(folder).as_posix(), file) for file in videos]
    for inner in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        files = tuple(sorted(file for file in inner.iterdir() if file.suffix.lower() in PICTURES))
        if files:
            name = inner.name if inner == folder else inner.relative_to(folder).as_posix()
            clips.append(PictureClip(name, files))
    return sorted(clips, key=lambda clip: clip.name)


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Return a picture [h, w, 3], RGB. Raises FrameError if it cannot be read."""
    try:
        image.inspect(path, image.read_size(path))  # a file that was cut off would be decoded in part
        return image.read_upright(path)
    except image.ImageError as error:
        raise FrameError(str(error)) from error


def cache_folder() -> Path:
    """Return $LINEAGE_CACHE/frames; a run sets the variable to its `paths.cache`."""
    return Path(os.environ.get("LINEAGE_CACHE") or Path.home() / ".cache" / "lineage", "frames")


def write_decoded(path: Path, target: Path) -> None:
    """Write the frames of a video to a .npy file [n, h, w, 3] one by one: together they may be larger than memory."""
    frames = read_frames(path)
    first = next(frames)
    with atomic_path(target) as temporary, temporary.open("wb") as file:
        count = 0
        header = {"descr": "|u1", "fortran_order": False}
        np.lib.format.write_array_header_1_0(file, header | {"shape": (10**9, *first.shape)})
        start = file.tell()
        for frame in chain((first,), frames):
            file.write(np.ascontiguousarray(frame).tobytes())
            count += 1
        file.seek(0)
        np.lib.format.write_array_header_1_0(file, header | {"shape": (count, *first.shape)})
        assert file.tell() == start, "headers of both lengths are padded to 64 bytes"
