"""Pictures as they come: image files, folders and patterns of them, and the frames of videos."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from lineage.data.samples.image import to_rgb

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm")
VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")


class Picture(NamedTuple):
    name: str  # of the file, below the folder that was asked for; a frame is `clip.mp4#000030`
    pixels: NDArray[np.uint8]  # [h, w, 3] RGB, upright


class Unreadable(NamedTuple):
    name: str
    reason: str


def pictures(asked: Sequence[str], every: int) -> Iterator[Picture | Unreadable]:
    """Everything asked for, in order; of a video each `every`-th frame."""
    for path, name in files(asked):
        if not path.is_file():
            yield Unreadable(name, "no such file")
        elif path.suffix.lower() in VIDEOS:
            yield from frames(path, name, every)
        else:
            yield picture(path, name)


def files(asked: Sequence[str]) -> Iterator[tuple[Path, str]]:
    """(path, name) of each file; folders are searched to the bottom, each file comes once."""
    seen: set[Path] = set()
    for text in asked:
        for path, name in _below(text):
            if (real := path.resolve()) not in seen:
                seen.add(real)
                yield path, name


def numbers(asked: Sequence[str]) -> dict[str, int]:
    """The image ids that a dataset's own names are, as in COCO's 000000000139.jpg; empty if one is no number."""
    stems = {name: Path(name).stem for _, name in files(asked)}
    ids = {name: int(stem) for name, stem in stems.items() if stem.isascii() and stem.isdigit()}
    return ids if len(ids) == len(stems) == len({*ids.values()}) else {}


def _below(text: str) -> Iterator[tuple[Path, str]]:
    path = Path(text)
    if path.is_dir():
        found = sorted(one for one in path.rglob("*") if one.suffix.lower() in IMAGES + VIDEOS and one.is_file())
        yield from ((one, one.relative_to(path).as_posix()) for one in found)
    elif not path.exists() and glob.has_magic(text):
        yield from ((Path(one), Path(one).name) for one in sorted(glob.glob(text, recursive=True)))
    else:
        yield path, path.name


def picture(path: Path, name: str) -> Picture | Unreadable:
    """A file as people see it: turned as its EXIF says, transparency on white."""
    try:
        with Image.open(path) as file:
            upright = ImageOps.exif_transpose(file)
            if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
                clear = upright.convert("RGBA")
                white = Image.new("RGBA", clear.size, "white")
                upright = Image.alpha_composite(white, clear)
            return Picture(name, to_rgb(upright))
    except UnidentifiedImageError:
        return Unreadable(name, "is not an image Pillow can read")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return Unreadable(name, f"cannot be decoded ({error})")


def frames(path: Path, name: str, every: int) -> Iterator[Picture | Unreadable]:
    video = cv2.VideoCapture(str(path))
    try:
        number = 0
        while video.grab():  # decodes nothing yet
            if number % every == 0:
                there, pixels = video.retrieve()
                if there:
                    yield Picture(f"{name}#{number:06d}", cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB).astype(np.uint8))
            number += 1
        if number == 0:
            yield Unreadable(name, "is not a video OpenCV can read, or has no frame")
    finally:
        video.release()
