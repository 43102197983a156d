"""Read one image as its annotations describe it: RGB, in the orientation that fits their size."""

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

ENDS = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}  # the last bytes of a complete file
SAME_SIZE = (2, 3, 4)  # EXIF orientations that mirror the image or turn it upside down
SIDEWAYS = (5, 6, 7, 8)  # those that swap height and width


class ImageError(RuntimeError):
    """An image that cannot be used; the message names the file and what to do."""


def read(path: Path, size: Size) -> tv.Image:
    """[3, h, w] uint8, turned as its EXIF orientation says, unless the annotations are of the pixels as stored.

    Most labelling tools show, and annotate, the turned image; some write boxes of the stored one. The annotated size
    tells them apart where turning swaps height and width. Where it does not (mirrored, upside down, square), the image
    is turned, as by everything that shows images.
    """
    with _opened(path) as file:
        pixels = rgb(ImageOps.exif_transpose(file)) if _turned(file, size, path) else _stored(file, path)
    # the memory stays [h, w, 3], which torchvision resizes fastest
    return tv.Image(torch.from_numpy(pixels).permute(2, 0, 1))


def inspect(path: Path, size: Size) -> None:
    """Raise if the header or the end of the file is wrong; about 0.2 ms, where decoding takes 5."""
    with _opened(path) as file:
        _fits(file, size, path)
        with path.open("rb") as raw:
            raw.seek(0, 2)
            raw.seek(max(0, raw.tell() - 64))
            tail = raw.read().rstrip(b"\0")
        if not (file.format in ENDS and tail.endswith(ENDS[file.format])):
            file.load()  # padding after the end is harmless, a missing end is not: only decoding tells


def rgb(image: Pillow.Image) -> NDArray[np.uint8]:
    """[h, w, 3], 8 bits a channel. Pillow alone would cut 16-bit grey at 255, which leaves a white image."""
    if image.mode.startswith("I"):
        grey = np.asarray(image).clip(0, 65535).astype(np.uint16)
        image = Pillow.fromarray((grey >> 8).astype(np.uint8))
    return np.array(image.convert("RGB"))


def _stored(file: Pillow.Image, path: Path) -> NDArray[np.uint8]:
    """Of a JPEG OpenCV gives the same pixels a third faster, and nothing where it is broken: Pillow then says why."""
    if file.format == "JPEG" and file.mode in ("RGB", "L"):
        found = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
        if found is not None:
            return found.astype(np.uint8, copy=False)
    return rgb(file)


@contextmanager
def _opened(path: Path) -> Iterator[Pillow.Image]:
    try:
        with Pillow.open(path) as file:
            yield file
    except FileNotFoundError as error:
        raise ImageError(f"{path}: no such image; put it there or remove it from the annotations") from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{path}: is not an image Pillow can read; fetch it again or remove it") from error
    except (OSError, SyntaxError, ValueError, Pillow.DecompressionBombError) as error:
        raise ImageError(f"{path}: cannot be decoded ({error}); fetch it again or remove it") from error


def _turned(file: Pillow.Image, size: Size, path: Path) -> bool:
    """Whether to turn the image as EXIF says."""
    _fits(file, size, path)
    orientation = _orientation(file)
    return orientation in SAME_SIZE or (orientation in SIDEWAYS and (file.width, file.height) == size)


def _fits(file: Pillow.Image, size: Size, path: Path) -> None:
    """An error where the size is neither of the stored nor of the turned image."""
    if (file.height, file.width) == size:
        return  # without a look at EXIF, for which Pillow decodes a PNG
    if (file.width, file.height) == size and _orientation(file) in SIDEWAYS:
        return
    raise ImageError(
        f"{path}: is {file.height} x {file.width} pixels (height x width), its annotations say {size[0]} x {size[1]}; "
        "correct `height` and `width` in the annotation file or put the original image back"
    )


def _orientation(file: Pillow.Image) -> int | None:
    return file.getexif().get(ExifTags.Base.Orientation)
