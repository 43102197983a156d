"""Instance masks, each kept bit-exact inside its own window of the image.

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
from pycocotools import mask as rle
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.transforms.v2 import InterpolationMode, functional
from torchvision.tv_tensors import BoundingBoxFormat, TVTensor

from lineage.data.samples.rle_decode import decode_counts, rasterize

Window = tuple[int, int, int, int]  # x, y, width, height
Plane = NDArray[np.uint8]  # [height, width] of a window


class Crops(TVTensor):
    """n masks as one flat uint8 tensor [S] of 0 and 1: the windows one after the other, each row-major."""

    windows: Tensor  # [n, 4] int64 (x, y, width, height)
    canvas_size: tuple[int, int]  # (height, width)

    def __new__(cls, bits: Tensor, windows: Tensor, canvas_size: tuple[int, int]) -> Crops:
        crops = bits.as_subclass(cls)
        crops.windows = windows
        crops.canvas_size = canvas_size
        return crops

    @classmethod
    def _wrap_output(cls, output: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        """torchvision calls this after clone, detach, to and requires_grad_; the result describes the same windows."""
        source = next((a for a in args if isinstance(a, Crops)), None)
        if source is None or not isinstance(output, Tensor):
            return output
        return cls(output, source.windows.to(output.device), source.canvas_size)

    @classmethod
    def from_masks(cls, masks: Tensor) -> Crops:
        """masks [n, h, w], anything nonzero is inside."""
        found = [tight(mask) for mask in masks != 0]
        return join([bits for bits, _ in found], [one for _, one in found], (int(masks.shape[1]), int(masks.shape[2])))

    @classmethod
    def from_rle(cls, encoded: Sequence[dict[str, Any]], canvas_size: tuple[int, int]) -> Crops:
        """COCO run-length encodings of the whole canvas, compressed (`counts` str or bytes) or not (list of int)."""
        bits, windows = rasterize(*decode_counts(encoded, canvas_size), canvas_size)
        return cls(torch.from_numpy(bits), torch.from_numpy(windows), canvas_size)

    @classmethod
    def from_polygons(cls, objects: Sequence[Sequence[Any]], canvas_size: tuple[int, int]) -> Crops:
        """Each object is a list of polygons (x0, y0, x1, y1, ...) whose union it covers."""
        return cls.from_rle(
            [rle.merge(rle.frPyObjects(list(polygons), *canvas_size)) for polygons in objects], canvas_size
        )

    def __len__(self) -> int:
        return len(self.windows)

    def planes(self) -> list[Plane]:
        """Every mask as a [height, width] view."""
        flat, windows = self.as_subclass(Tensor).numpy(), self.windows.tolist()
        ends = accumulate(w * h for _, _, w, h in windows)
        return [flat[end - w * h : end].reshape(h, w) for end, (_, _, w, h) in zip(ends, windows, strict=True)]

    def pieces(self) -> list[tuple[Tensor, Window]]:
        """The same as tensors, each with its window."""
        windows: list[Window] = [tuple(row) for row in self.windows.tolist()]
        return [(torch.from_numpy(plane), window) for plane, window in zip(self.planes(), windows, strict=True)]

    def select(self, keep: Tensor) -> Crops:
        """The masks at these indices, or where this [n] bool is true."""
        chosen = torch.arange(len(self))[keep].tolist()
        pieces = self.pieces()
        return join([pieces[i][0] for i in chosen], [pieces[i][1] for i in chosen], self.canvas_size)

    def dense(self) -> Tensor:
        """[n, h, w] uint8."""
        canvas = torch.zeros((len(self), *self.canvas_size), dtype=torch.uint8)
        for mask, (bits, (x, y, width, height)) in zip(canvas, self.pieces(), strict=True):
            mask[y : y + height, x : x + width] = bits
        return canvas


def join(pieces: Sequence[Tensor], windows: Sequence[Window], canvas_size: tuple[int, int]) -> Crops:
    """Masks from their pieces [height, width], each with its window."""
    bits = torch.cat([torch.zeros(0, dtype=torch.uint8), *(p.reshape(-1).to(torch.uint8) for p in pieces)])
    return Crops(bits, torch.tensor(windows, dtype=torch.int64).reshape(-1, 4), canvas_size)


def tight(mask: Tensor, x: int = 0, y: int = 0) -> tuple[Tensor, Window]:
    """What remains of a mask [h, w] at (x, y) without empty borders; (0, 0, 0, 0) where nothing does."""
    left, width = _extent(mask.any(0))
    top, height = _extent(mask.any(1))
    piece = mask[top : top + height, left : left + width]
    return piece, ((x + left, y + top, width, height) if width else (0, 0, 0, 0))


def _extent(line: Tensor) -> tuple[int, int]:
    """First true position and the length up to the last one; (0, 0) when none is."""
    where = line.nonzero()
    return (int(where[0]), int(where[-1] - where[0]) + 1) if len(where) else (0, 0)


def _kernel(transform: Callable[..., Tensor]) -> Callable[[Callable[..., Crops]], Callable[..., Crops]]:
    return functional.register_kernel(transform, Crops)


@_kernel(functional.resize)
def _resize(
    crops: Crops,
    size: list[int] | None,
    interpolation: Any = InterpolationMode.NEAREST_EXACT,
    max_size: int | None = None,
    antialias: bool | None = None,
) -> Crops:
    """Nearest-exact whatever `interpolation` says of the image: masks stay 0 and 1."""
    nothing = torch.zeros(0, 4)
    _, (height, width) = functional.resize_bounding_boxes(nothing, crops.canvas_size, size=size, max_size=max_size)
    rows, columns = sources(crops.canvas_size[0], height).numpy(), sources(crops.canvas_size[1], width).numpy()
    x, y, w, h = crops.windows.numpy().T
    left, right = np.searchsorted(columns, (x, x + w))
    top, below = np.searchsorted(rows, (y, y + h))

    def draw(i: int, old: Plane, new: Plane) -> None:
        # whole rows are copied at once, single bytes are not: so columns are taken as the rows of the turned mask
        wide = cv2.transpose(cv2.transpose(old).take(columns[left[i] : right[i]] - x[i], 0))
        wide.take(rows[top[i] : below[i]] - y[i], 0, out=new, mode="clip")

    return _redrawn(crops, (left, top, right - left, below - top), (height, width), draw)


@lru_cache(maxsize=256)
def sources(before: int, after: int) -> Tensor:
    """[after] the pixel each resized pixel copies: torch's own rule, asked by resizing the pixel numbers."""
    return interpolate(torch.arange(before).float()[None, None], size=after, mode="nearest-exact")[0, 0].long()


@_kernel(functional.horizontal_flip)
def _horizontal_flip(crops: Crops) -> Crops:
    x, y, w, h = crops.windows.numpy().T
    windows = crops.canvas_size[1] - x - w, y, w, h
    return _redrawn(crops, windows, crops.canvas_size, lambda i, old, new: cv2.flip(old, 1, new))


@_kernel(functional.crop)
def _crop(crops: Crops, top: int, left: int, height: int, width: int) -> Crops:
    x, y, w, h = crops.windows.numpy().T
    across, down = (x - left).clip(0, width), (y - top).clip(0, height)
    windows = across, down, (x + w - left).clip(0, width) - across, (y + h - top).clip(0, height) - down

    def draw(i: int, old: Plane, new: Plane) -> None:
        begin, skip = down[i] + top - y[i], across[i] + left - x[i]
        new[:] = old[begin : begin + len(new), skip : skip + new.shape[1]]

    return _redrawn(crops, windows, (height, width), draw)


def _redrawn(
    crops: Crops, windows: Sequence[NDArray[np.int64]], size: tuple[int, int], draw: Callable[[int, Plane, Plane], Any]
) -> Crops:
    """The masks in other windows, given as x, y, width, height; `draw` is told the old pixels and fills the new."""
    bits = torch.empty(int((windows[2] * windows[3]).sum()), dtype=torch.uint8)
    redrawn = Crops(bits, torch.from_numpy(np.stack(windows, 1)), size)
    for i, (old, new) in enumerate(zip(crops.planes(), redrawn.planes(), strict=True)):
        if new.size:
            draw(i, old, new)
    return redrawn


@_kernel(functional.pad)
def _pad(crops: Crops, padding: list[int] | int, fill: Any = 0, padding_mode: str = "constant") -> Crops:
    """Masks are always zero in the padding."""
    windows, size = functional.pad_bounding_boxes(
        crops.windows, BoundingBoxFormat.XYWH, crops.canvas_size, padding, padding_mode
    )
    return Crops(crops.as_subclass(Tensor), windows, size)
