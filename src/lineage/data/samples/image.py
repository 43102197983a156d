"""Reading an image as its annotations describe it: RGB, in the orientation that fits their size."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, ImageOps, UnidentifiedImageError
from PIL import Image as Pillow
from torchvision import tv_tensors as tv

Size = tuple[int, int]  # height, width

LAST_BYTES = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}  # of a complete file
SAME_SIZE = (2, 3, 4)  # EXIF orientations that mirror the image or turn it upside down
SIDEWAYS = (5, 6, 7, 8)  # those that swap height and width


class ImageError(RuntimeError):
    """An image that cannot be used; the message names the file and what to do."""


def read(path: Path, size: Size) -> tv.Image:
    """Return [3, h, w] uint8, turned by its EXIF orientation unless the annotations are of the pixels as stored.

    Most labelling tools show, and annotate, the turned image; some write boxes of the stored one. If turning swaps
    height and width, the annotated size decides. If it does not (mirrored, upside down, square), the image is turned,
    as image viewers do.
    """
    with _open(path) as file:
        pixels = to_rgb(ImageOps.exif_transpose(file)) if _is_turned(file, size, path) else _read_stored(file, path)
    # the memory stays [h, w, 3], which torchvision resizes fastest
    return tv.Image(torch.from_numpy(pixels).permute(2, 0, 1))


def inspect(path: Path, size: Size) -> None:
    """Raise ImageError if the header or the end of the file is wrong; takes 0.2 ms, where decoding takes 5."""
    with _open(path) as file:
        _check_size(file, size, path)
        with path.open("rb") as raw:
            raw.seek(0, 2)
            raw.seek(max(0, raw.tell() - 64))
            tail = raw.read().rstrip(b"\0")
        if not (file.format in LAST_BYTES and tail.endswith(LAST_BYTES[file.format])):
            file.load()  # padding after the end is harmless, a missing end is not: only decoding distinguishes them


def to_rgb(image: Pillow.Image) -> NDArray[np.uint8]:
    """Return [h, w, 3], 8 bits a channel. Pillow alone would clip 16-bit grey at 255, which leaves a white image."""
    if image.mode.startswith("I"):
        grey = np.asarray(image).clip(0, 65535).astype(np.uint16)
        image = Pillow.fromarray((grey >> 8).astype(np.uint8))
    return np.array(image.convert("RGB"))


def is_sideways(file: Pillow.Image) -> bool:
    """Return whether the EXIF orientation swaps height and width. To read it, Pillow decodes a PNG."""
    return file.getexif().get(ExifTags.Base.Orientation) in SIDEWAYS


def _read_stored(file: Pillow.Image, path: Path) -> NDArray[np.uint8]:
    """Decode a JPEG with OpenCV: the same pixels a third faster. If that fails, Pillow raises the reason."""
    if file.format == "JPEG" and file.mode in ("RGB", "L"):
        pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
        if pixels is not None:
            return pixels.astype(np.uint8, copy=False)
    return to_rgb(file)


@contextmanager
def _open(path: Path) -> Iterator[Pillow.Image]:
    try:
        with Pillow.open(path) as file:
            yield file
    except FileNotFoundError as error:
        raise ImageError(f"{path}: no such image; put it there or remove it from the annotations") from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{path}: is not an image Pillow can read; fetch it again or remove it") from error
    except (OSError, SyntaxError, ValueError, Pillow.DecompressionBombError) as error:
        raise ImageError(f"{path}: cannot be decoded ({error}); fetch it again or remove it") from error


def _is_turned(file: Pillow.Image, size: Size, path: Path) -> bool:
    """Return whether to turn the image by its EXIF orientation."""
    _check_size(file, size, path)
    if file.getexif().get(ExifTags.Base.Orientation) in SAME_SIZE:
        return True
    return (file.width, file.height) == size and is_sideways(file)


def _check_size(file: Pillow.Image, size: Size, path: Path) -> None:
    """Raise ImageError if the size is neither that of the stored nor that of the turned image."""
    if (file.height, file.width) == size:
        return  # without reading EXIF
    if (file.width, file.height) == size and is_sideways(file):
        return
    raise ImageError(
        f"{path}: is {file.height} x {file.width} pixels (height x width), its annotations say {size[0]} x {size[1]}; "
        "correct `height` and `width` in the annotation file or put the original image back"
    )
