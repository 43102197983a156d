"""The reader of image files, for training, evaluation, prediction and checks alike: RGB, upright, 8 bits a channel.

Annotated images are read in the orientation that fits their annotated size, all others as image viewers show them.
pixels.py has the modes and depths.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import ExifTags, UnidentifiedImageError
from PIL import Image as Pillow
from torchvision import tv_tensors as tv

from lineage.data.samples import pixels
from lineage.data.samples.pixels import Pixels, Range

Size = tuple[int, int]  # height, width

LAST_BYTES = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}  # of a complete file
SAME_SIZE = (2, 3, 4)  # EXIF orientations that mirror the image or turn it upside down
SIDEWAYS = (5, 6, 7, 8)  # those that swap height and width
MEGAPIXELS = 179.0  # Pillow's own limit


class ImageError(RuntimeError):
    """An image that cannot be used; the message names the file and what to do."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """Options of a dataset for the decoding of its image files.

    pixel_range: values that become black and white, of files with more than 8 bits a channel; None refuses them
    max_megapixels: a larger image is refused before its pixels fill the memory
    """

    pixel_range: Range | None = None
    max_megapixels: float = MEGAPIXELS


DEFAULT = Decoding()


def create_decoding(pixel_range: Sequence[float] | None, max_megapixels: float) -> Decoding:
    """Return the options as a config has them. Raise ImageError if they are of no use."""
    if max_megapixels <= 0:
        raise ImageError(f"max_megapixels={max_megapixels:g} is not a number above 0, such as 500")
    if pixel_range is None:
        return Decoding(None, max_megapixels)
    if not isinstance(pixel_range, Sequence) or len(pixel_range) != 2 or pixel_range[0] == pixel_range[1]:
        raise ImageError(f"pixel_range={pixel_range} is not [black, white], such as [0, 4095] for 12 bits")
    return Decoding((pixel_range[0], pixel_range[1]), max_megapixels)


def read(path: Path, size: Size, decoding: Decoding = DEFAULT) -> tv.Image:
    """Return [3, h, w] uint8, turned by its EXIF orientation unless the annotations are of the pixels as stored.

    Most labelling tools show, and annotate, the turned image; some write boxes of the stored one. If turning swaps
    height and width, the annotated size decides. If it does not (mirrored, upside down, square), the image is turned,
    as image viewers do.
    """
    with _open(path, decoding) as file:
        is_deep = pixels.has_deep_channels(file)
        _check_size(file, size, path)
        is_stored = (file.height, file.width) == size
        orientation = read_orientation(file)
        if is_stored and file.height != file.width and orientation in SIDEWAYS:
            orientation = 1
        image = _turn(pixels.decode(file, path, is_deep, decoding.pixel_range), orientation)
    # the memory stays [h, w, 3], which torchvision resizes fastest
    return tv.Image(torch.from_numpy(image).permute(2, 0, 1))


def read_upright(path: Path, decoding: Decoding = DEFAULT) -> Pixels:
    """Return [h, w, 3] uint8 of an image without annotations, turned by its EXIF orientation."""
    with _open(path, decoding) as file:
        is_deep = pixels.has_deep_channels(file)
        return _turn(pixels.decode(file, path, is_deep, decoding.pixel_range), read_orientation(file))


def read_size(path: Path, decoding: Decoding = DEFAULT) -> Size:
    """Return (height, width) of the upright image; reads the header alone."""
    with _open(path, decoding) as file:
        return (file.width, file.height) if read_orientation(file) in SIDEWAYS else (file.height, file.width)


def inspect(path: Path, size: Size, decoding: Decoding = DEFAULT) -> None:
    """Raise ImageError if the header or the end of the file is wrong; takes 0.2 ms, where decoding takes 5."""
    with _open(path, decoding) as file:
        if decoding.pixel_range is None and pixels.has_deep_channels(file):
            raise pixels.RangeError(pixels.explain_depth(file))
        _check_size(file, size, path)
        with path.open("rb") as raw:
            raw.seek(0, 2)
            raw.seek(max(0, raw.tell() - 64))
            tail = raw.read().rstrip(b"\0")
        if not (file.format in LAST_BYTES and tail.endswith(LAST_BYTES[file.format])):
            file.load()  # padding after the end is harmless, a missing end is not: only decoding distinguishes them


def read_orientation(file: Pillow.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 is upright. To read it, Pillow decodes a PNG; TIFFs it turns itself."""
    if file.format == "TIFF":
        return 1
    orientation = file.getexif().get(ExifTags.Base.Orientation, 1)
    return int(orientation) if orientation in (*SAME_SIZE, *SIDEWAYS) else 1


def _turn(image: Pixels, orientation: int) -> Pixels:
    """Return the pixels as the EXIF orientation says that they are to be shown."""
    # 1. Orientations from 5 on are stored with rows and columns exchanged.
    turned = image.swapaxes(0, 1) if orientation in SIDEWAYS else image
    # 2. Mirrored from top to bottom, and from left to right.
    if orientation in (3, 4, 7, 8):
        turned = turned[::-1]
    if orientation in (2, 3, 6, 7):
        turned = turned[:, ::-1]
    return np.ascontiguousarray(turned)


@contextmanager
def _open(path: Path, decoding: Decoding) -> Iterator[Pillow.Image]:
    try:
        # given a path, Pillow maps some TIFFs into memory, and then forgets to turn them
        with _own_limit(), path.open("rb") as content, Pillow.open(content) as file:
            _check_megapixels(file, path, decoding.max_megapixels)
            yield file
    except FileNotFoundError as error:
        raise ImageError(f"{path}: no such image; put it there or remove it from the annotations") from error
    except pixels.RangeError as error:
        raise ImageError(f"{path}: {error}") from error
    except UnidentifiedImageError as error:
        advice = "fetch it again or remove it"
        if path.suffix.lower() in (".tif", ".tiff"):
            advice = f"{advice}; of TIFFs with more than four channels or with colours in floats, write 8-bit RGB"
        raise ImageError(f"{path}: is not an image Pillow can read; {advice}") from error
    except (OSError, SyntaxError, ValueError, cv2.error) as error:
        raise ImageError(f"{path}: cannot be decoded ({error}); fetch it again or remove it") from error


@contextmanager
def _own_limit() -> Iterator[None]:
    """Suspend Pillow's limit of pixels, which belongs to the whole process, for that of the dataset."""
    limit, Pillow.MAX_IMAGE_PIXELS = Pillow.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Pillow.MAX_IMAGE_PIXELS = limit


def _check_megapixels(file: Pillow.Image, path: Path, limit: float) -> None:
    megapixels = file.width * file.height / 1e6
    if megapixels > limit:
        raise ImageError(
            f"{path}: is {file.height} x {file.width} pixels (height x width), {megapixels:,.0f} megapixels where "
            f"{limit:g} are allowed, lest a forged file fills the memory. If it is what it should be: "
            f"dataset.max_megapixels={int(megapixels) + 1} (of lineage predict and data check --annotations: "
            f"--max-megapixels {int(megapixels) + 1}); it takes {megapixels * 3e-3:.1f} GB. Objects that are small in "
            "it are detected better in tiles, each an image of its own"
        )


def _check_size(file: Pillow.Image, size: Size, path: Path) -> None:
    """Raise ImageError if the size is neither that of the stored nor that of the turned image."""
    if (file.height, file.width) == size:
        return  # without reading EXIF
    if (file.width, file.height) == size and read_orientation(file) in SIDEWAYS:
        return
    raise ImageError(
        f"{path}: is {file.height} x {file.width} pixels (height x width), its annotations say {size[0]} x {size[1]}; "
        "correct `height` and `width` in the annotation file or put the original image back"
    )
