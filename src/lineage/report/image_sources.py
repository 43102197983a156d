"""Pictures as they come: image files, folders and patterns of them, and the frames of videos."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lineage.data.samples.image import DEFAULT, Decoding, ImageError, Size, read, read_upright
from lineage.data.samples.video import VIDEOS, VideoError, read_frames

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm")
URLS = ("http", "https", "ftp", "file", "s3", "gs")
STDIN = Path("-")


class Picture(NamedTuple):
    name: str  # of the file, below the given folder; a frame is `clip.mp4#000030`
    pixels: NDArray[np.uint8]  # [h, w, 3] RGB, upright


class Unreadable(NamedTuple):
    name: str
    reason: str


def iter_pictures(
    sources: Sequence[str], every: int, decoding: Decoding = DEFAULT, sizes: Mapping[str, Size] | None = None
) -> Iterator[Picture | Unreadable]:
    """Yield the pictures of files, folders and patterns in order; of a video each `every`-th frame.

    sizes: annotated (height, width) by name, which determine the orientation of a picture
    """
    for path, name in find_files(sources):
        if not path.is_file():
            yield explain_absence(path)
        elif path.suffix.lower() in VIDEOS:
            yield from number_frames(path, name, every)
        else:
            yield read_picture(path, name, decoding, (sizes or {}).get(name))


def explain_absence(path: Path) -> Unreadable:
    """Return why a path is no file: it is a URL, which is not fetched, a pipe or device, or it does not exist."""
    scheme, mark, rest = path.as_posix().partition(":/")  # Path has made one slash of two
    if mark and scheme in URLS:
        return Unreadable(f"{scheme}://{rest}", "is a URL; pictures are read from disk: download it and name the file")
    if path.exists() or path == STDIN:
        return Unreadable(path.as_posix(), "is a pipe or a device; save the picture and name that file")
    return Unreadable(path.as_posix(), "no such file")


def find_files(sources: Sequence[str]) -> Iterator[tuple[Path, str]]:
    """Yield (path, name) of each file, once; folders are searched recursively.

    No two names are equal: if another file has a name already, it is preceded by as many folders as it takes.
    """
    visited: set[Path] = set()
    names: set[str] = set()
    for text in sources:
        for path, name in _expand(text):
            if (real := path.resolve()) not in visited:
                visited.add(real)
                names.add(unique := _lengthen(path, names) if name in names else name)
                yield path, unique


def _lengthen(path: Path, names: Set[str]) -> str:
    """Return the shortest end of a path, from its last folder on, that is not among `names`."""
    parts = Path(os.path.abspath(path)).parts[1:]
    ends = ("/".join(parts[-count:]) for count in range(2, len(parts)))
    return next((end for end in ends if end not in names), "/".join(parts))


def _expand(text: str) -> Iterator[tuple[Path, str]]:
    path = Path(text)
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in IMAGES + VIDEOS and file.is_file())
        yield from ((file, file.relative_to(path).as_posix()) for file in files)
    elif not path.exists() and glob.has_magic(text):
        yield from ((Path(file), Path(file).name) for file in sorted(glob.glob(text, recursive=True)))
    else:
        yield path, path.name


def read_picture(path: Path, name: str, decoding: Decoding = DEFAULT, size: Size | None = None) -> Picture | Unreadable:
    """Read an image file as training does, upright by its EXIF orientation or as its annotated size has it."""
    try:
        if size is not None:
            return Picture(name, read(path, size, decoding).permute(1, 2, 0).numpy())
        return Picture(name, read_upright(path, decoding))
    except ImageError as error:
        return Unreadable(name, str(error).removeprefix(f"{path}: "))


def number_frames(path: Path, name: str, every: int) -> Iterator[Picture | Unreadable]:
    """Yield each `every`-th frame of a video under the name of the file and its number."""
    try:
        for position, pixels in enumerate(read_frames(path, every)):
            yield Picture(frame_name(name, position * every), pixels)
    except VideoError as error:
        yield Unreadable(name, str(error).removeprefix(f"{path}: "))


def frame_name(name: str, number: int) -> str:
    return f"{name}#{number:06d}"
