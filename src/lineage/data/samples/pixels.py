"""Pixels of an open image file as RGB with 8 bits a channel, whatever its mode.

Transparency is dropped, so that the colour stored below it shows: the convention of Pillow's `convert`, detectron2 and
torchvision. Files with more than 8 bits a channel do not say which of their values is white, so the range of values is
declared by the user, and without it they are refused: 12-bit data in 16-bit files would be nearly black.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

Pixels = NDArray[np.uint8]  # [h, w, 3]
Range = tuple[float, float]  # the values that become 0 and 255

JPEG_MODES = ("RGB", "L")  # which OpenCV decodes to the pixels of Pillow
WITH_PALETTE = ("P", "PA")


class RangeError(ValueError):
    """An image with more than 8 bits a channel whose range of values is not declared."""


def decode(file: Pillow.Image, path: Path, is_deep: bool, pixel_range: Range | None) -> Pixels:
    """Return the pixels as stored, not turned. Raise RangeError for a deep image without `pixel_range`."""
    if is_deep:
        values = _read_deep(file, path)
        if pixel_range is None:
            raise RangeError(explain_depth(file, f", values from {values.min():g} to {values.max():g}"))
        return scale(values, pixel_range)
    if file.format == "JPEG" and file.mode in JPEG_MODES:  # the same pixels a third faster
        pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
        if pixels is not None:  # if it fails, Pillow raises the reason
            return pixels.astype(np.uint8, copy=False)
    if file.mode in WITH_PALETTE:
        file = file.convert("RGBA")  # Pillow warns if transparency is lost on the way
    return np.array(file.convert("RGB"))


def has_deep_channels(file: Pillow.Image) -> bool:
    """Return whether a channel has more than 8 bits, from the header of a file that is not decoded yet."""
    if file.mode == "F" or file.mode.startswith("I"):
        return True  # Pillow's modes of one deep channel
    tiles = getattr(file, "tile", ())
    return file.format in ("PNG", "TIFF") and any(
        ";16" in str(tile.args) for tile in tiles
    )  # of several, cut by Pillow


def scale(values: NDArray[np.generic], pixel_range: Range) -> Pixels:
    """Map `pixel_range` to 0..255, rounded; values outside are clipped, those that are not a number become 0."""
    black, white = pixel_range
    share = np.nan_to_num((values.astype(np.float64) - black) / (white - black), nan=0.0, posinf=1.0, neginf=0.0)
    levels = np.rint(255 * share.clip(0, 1)).astype(np.uint8)
    return np.repeat(levels[..., None], 3, 2) if levels.ndim == 2 else levels


def explain_depth(file: Pillow.Image, values: str = "") -> str:
    return (
        f"has more than 8 bits a channel (Pillow's mode {file.mode}{values}), and no file says which value is white. "
        "Declare the range of values: dataset.pixel_range=[0,65535] for 16 bits, [0,4095] for 12, [0,1] for floats "
        "(of lineage predict and data check --annotations: --pixel-range 0 4095), or convert the files to 8 bits"
    )


def _read_deep(file: Pillow.Image, path: Path) -> NDArray[np.generic]:
    """Return [h, w] or [h, w, 3] in the file's own type. Pillow reads one channel whole, and cuts three to 8 bits."""
    if len(file.getbands()) == 1:
        return np.asarray(file)
    values = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype != np.uint16:
        raise ValueError("OpenCV cannot decode its 16 bits; convert it to 8 bits")
    if values.ndim == 2 or values.shape[2] == 2:  # grey with transparency
        return values if values.ndim == 2 else values[..., 0]
    return np.ascontiguousarray(values[..., 2::-1])
