"""Read one image as its annotations describe it: RGB, in the orientation that fits their size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image as Pillow
from PIL import ImageOps, UnidentifiedImageError
from torchvision import tv_tensors as tv

Size = tuple[int, int]  # height, width


class ImageError(RuntimeError):
    """An image that cannot be used; the message names the file and what to do."""


def read(path: Path, size: Size) -> tv.Image:
    """[3, h, w] uint8. An EXIF rotation is applied only where the annotated size asks for it.

    COCO itself was annotated on the stored pixels, while many labelling tools show, and annotate, the rotated image.
    """
    try:
        with Pillow.open(path) as file:
            upright = oriented(file, size, path).convert("RGB")
    except FileNotFoundError as error:
        raise ImageError(f"{path}: no such image; put it there or remove it from the annotations") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise ImageError(f"{path}: cannot be decoded ({error}); fetch it again or remove it") from error
    return tv.Image(torch.from_numpy(np.array(upright)).permute(2, 0, 1))


def oriented(file: Pillow.Image, size: Size, path: Path) -> Pillow.Image:
    """The image turned to the annotated size, or an error when no way round has it."""
    if (file.height, file.width) == size:
        return file
    turned = ImageOps.exif_transpose(file) if (file.width, file.height) == size else file
    if turned is None or (turned.height, turned.width) != size:
        raise ImageError(
            f"{path}: is {file.height} x {file.width} pixels (height x width), its annotations say {size[0]} x "
            f"{size[1]}; correct `height` and `width` in the annotation file or put the original image back"
        )
    return turned
