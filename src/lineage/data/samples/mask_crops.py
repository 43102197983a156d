"""Instance masks, each stored bit-exact in its own window of the image.

A mask of a COCO object covers a few percent of its image, so dense [n, h, w] masks are mostly zeros to decode, resize,
copy between processes and pad. Here only the tight windows exist, and transforms.v2 moves them like any other tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.transforms.v2 import InterpolationMode, functional
from torchvision.tv_tensors import BoundingBoxFormat, TVTensor

from lineage.data.samples.rle_decode import decode_counts, rasterize

Window = tuple[int, int, int, int]  # x, y, width, height
Plane = NDArray[np.uint8]  # [height, width] of a window


class MaskCrops(TVTensor):
    """n masks as one flat uint8 tensor [S] of 0 and 1: the windows one after the other, each row-major."""

    windows: Tensor  # [n, 4] int64 (x, y, width, height)
    canvas_size: tuple[int, int]  # (height, width)

    def __new__(cls, bits: Tensor, windows: Tensor, canvas_size: tuple[int, int]) -> MaskCrops:
        crops = bits.as_subclass(cls)
        crops.windows = windows
        crops.canvas_size = canvas_size
        return crops

    @classmethod
    def _wrap_output(cls, output: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        """Return the output of clone, detach, to and requires_grad_ with the same windows; torchvision calls this."""
        source = next((a for a in args if isinstance(a, MaskCrops)), None)
        if source is None or not isinstance(output, Tensor):
            return output
        return cls(output, source.windows.to(output.device), source.canvas_size)

    @classmethod
    def from_masks(cls, masks: Tensor) -> MaskCrops:
        """Crop masks [n, h, w]; every nonzero pixel is inside."""
        pieces = [crop_tight(mask) for mask in masks != 0]
        return join_pieces(pieces, (int(masks.shape[1]), int(masks.shape[2])))

    @classmethod
    def from_rle(cls, encoded: Sequence[dict[str, Any]], canvas_size: tuple[int, int]) -> MaskCrops:
        """Decode COCO run lengths of the whole canvas, compressed (`counts` str or bytes) or not (list of int)."""
        bits, windows = rasterize(*decode_counts(encoded, canvas_size), canvas_size)
        return cls(torch.from_numpy(bits), torch.from_numpy(windows), canvas_size)

    def __len__(self) -> int:
        return len(self.windows)

    def planes(self) -> list[Plane]:
        """Return every mask as a [height, width] view."""
        flat, windows = self.as_subclass(Tensor).numpy(), self.windows.tolist()
        ends = accumulate(w * h for _, _, w, h in windows)
        return [flat[end - w * h : end].reshape(h, w) for end, (_, _, w, h) in zip(ends, windows, strict=True)]

    def pieces(self) -> list[tuple[Tensor, Window]]:
        """Return every mask as a tensor view, with its window."""
        windows: list[Window] = [tuple(row) for row in self.windows.tolist()]
        return [(torch.from_numpy(plane), window) for plane, window in zip(self.planes(), windows, strict=True)]

    def select(self, keep: Tensor) -> MaskCrops:
        """Return the masks at these indices, or where this [n] bool is true."""
        pieces = self.pieces()
        return join_pieces([pieces[i] for i in torch.arange(len(self))[keep].tolist()], self.canvas_size)

    def dense(self) -> Tensor:
        """Return [n, h, w] uint8."""
        canvas = torch.zeros((len(self), *self.canvas_size), dtype=torch.uint8)
        for mask, (bits, (x, y, width, height)) in zip(canvas, self.pieces(), strict=True):
            mask[y : y + height, x : x + width] = bits
        return canvas


def join_pieces(pieces: Sequence[tuple[Tensor, Window]], canvas_size: tuple[int, int]) -> MaskCrops:
    """Return masks from their pixels [height, width], each with its window."""
    bits = [plane.reshape(-1).to(torch.uint8) for plane, _ in pieces]
    windows = torch.tensor([window for _, window in pieces], dtype=torch.int64).reshape(-1, 4)
    return MaskCrops(torch.cat([torch.zeros(0, dtype=torch.uint8), *bits]), windows, canvas_size)


def crop_tight(mask: Tensor, x: int = 0, y: int = 0) -> tuple[Tensor, Window]:
    """Return a mask [h, w] at (x, y) without empty borders, and its window; (0, 0, 0, 0) for an empty mask."""
    left, width = _extent(mask.any(0))
    top, height = _extent(mask.any(1))
    piece = mask[top : top + height, left : left + width]
    return piece, ((x + left, y + top, width, height) if width else (0, 0, 0, 0))


def _extent(line: Tensor) -> tuple[int, int]:
    """Return the first true position and the length up to the last one; (0, 0) if all are false."""
    positions = line.nonzero()
    return (int(positions[0]), int(positions[-1] - positions[0]) + 1) if len(positions) else (0, 0)


def _kernel(transform: Callable[..., Tensor]) -> Callable[[Callable[..., MaskCrops]], Callable[..., MaskCrops]]:
    return functional.register_kernel(transform, MaskCrops)


@_kernel(functional.resize)
def _resize(
    crops: MaskCrops,
    size: list[int] | None,
    interpolation: Any = InterpolationMode.NEAREST_EXACT,
    max_size: int | None = None,
    antialias: bool | None = None,
) -> MaskCrops:
    """Resize with nearest-exact, whatever the `interpolation` of the image: masks stay 0 and 1."""
    no_boxes = torch.zeros(0, 4)
    _, (height, width) = functional.resize_bounding_boxes(no_boxes, crops.canvas_size, size=size, max_size=max_size)
    rows = source_pixels(crops.canvas_size[0], height).numpy()
    columns = source_pixels(crops.canvas_size[1], width).numpy()
    x, y, w, h = crops.windows.numpy().T
    left, right = np.searchsorted(columns, (x, x + w))
    top, below = np.searchsorted(rows, (y, y + h))

    def draw(i: int, old: Plane, new: Plane) -> None:
        # whole rows are copied at once, single bytes are not: so columns are taken as rows of the transposed mask
        wide = cv2.transpose(cv2.transpose(old).take(columns[left[i] : right[i]] - x[i], 0))
        wide.take(rows[top[i] : below[i]] - y[i], 0, out=new, mode="clip")

    return _redraw(crops, (left, top, right - left, below - top), (height, width), draw)


@lru_cache(maxsize=256)
def source_pixels(before: int, after: int) -> Tensor:
    """Return [after] the pixel that each resized pixel copies, by torch's own rule: pixel numbers are resized."""
    return interpolate(torch.arange(before).float()[None, None], size=after, mode="nearest-exact")[0, 0].long()


@_kernel(functional.horizontal_flip)
def _horizontal_flip(crops: MaskCrops) -> MaskCrops:
    x, y, w, h = crops.windows.numpy().T
    windows = crops.canvas_size[1] - x - w, y, w, h
    return _redraw(crops, windows, crops.canvas_size, lambda i, old, new: cv2.flip(old, 1, new))


@_kernel(functional.crop)
def _crop(crops: MaskCrops, top: int, left: int, height: int, width: int) -> MaskCrops:
    x, y, w, h = crops.windows.numpy().T
    across, down = (x - left).clip(0, width), (y - top).clip(0, height)
    windows = across, down, (x + w - left).clip(0, width) - across, (y + h - top).clip(0, height) - down

    def draw(i: int, old: Plane, new: Plane) -> None:
        begin, skip = down[i] + top - y[i], across[i] + left - x[i]
        new[:] = old[begin : begin + len(new), skip : skip + new.shape[1]]

    return _redraw(crops, windows, (height, width), draw)


def _redraw(
    crops: MaskCrops,
    windows: Sequence[NDArray[np.int64]],
    size: tuple[int, int],
    draw: Callable[[int, Plane, Plane], Any],
) -> MaskCrops:
    """Return the masks in other windows.

    windows: x, y, width, height, each [n]
    draw: (index, old pixels, new pixels); fills the new pixels
    """
    bits = torch.empty(int((windows[2] * windows[3]).sum()), dtype=torch.uint8)
    redrawn = MaskCrops(bits, torch.from_numpy(np.stack(windows, 1)), size)
    for i, (old, new) in enumerate(zip(crops.planes(), redrawn.planes(), strict=True)):
        if new.size:
            draw(i, old, new)
    return redrawn


@_kernel(functional.pad)
def _pad(crops: MaskCrops, padding: list[int] | int, fill: Any = 0, padding_mode: str = "constant") -> MaskCrops:
    """Pad with zeros, whatever the `fill` of the image."""
    windows, size = functional.pad_bounding_boxes(
        crops.windows, BoundingBoxFormat.XYWH, crops.canvas_size, padding, padding_mode
    )
    return MaskCrops(crops.as_subclass(Tensor), windows, size)
