"""Samples of different sizes become one dense batch, in one of few shapes.

Every new shape costs a kernel selection, a compilation or a graph capture later on, so images, ground-truth slots and
mask bits are all padded up to a short list of sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import torch
from numpy.typing import NDArray
from torch import Tensor

from lineage.data.samples.sample import Sample
from lineage.data.transforms.geometry import UNLABELLED
from lineage.structures import Batch, Images, Masks, Proposals, Targets

Size = tuple[int, int]  # height, width

FEWEST_SLOTS = 8
FEWEST_BITS = 1 << 12
FEWEST_PROPOSALS = 64


def collate(
    samples: Sequence[Sample],
    rng_keys: Sequence[int],
    *,
    multiple: int = 32,
    shapes: Sequence[Sequence[int]] = (),
    proposals: int | None = None,
) -> Batch:
    """Pad to the smallest of `shapes` (height, width; either way round) that holds every image.

    Where none does, or none is given, both sides are rounded up to a `multiple`: the backbone's largest stride.
    Of precomputed `proposals` the best so many are kept; None keeps all and pads to a power of two.
    """  # fmt: skip
    canvas = padded([_size(sample) for sample in samples], multiple, shapes)
    return Batch(
        images=Images(
            pixels=_pixels(samples, canvas),
            sizes=torch.tensor([_size(sample) for sample in samples], dtype=torch.float32),
            rng_keys=torch.tensor(list(rng_keys), dtype=torch.int64),
            proposals=_proposals(samples, proposals),
        ),
        targets=_targets(samples, canvas),
        ids=torch.tensor([sample.image_id for sample in samples], dtype=torch.int64),
        original_sizes=torch.tensor([sample.original_size for sample in samples], dtype=torch.int64),
    )


def padded(sizes: Sequence[Size], multiple: int, shapes: Sequence[Sequence[int]] = ()) -> Size:
    """The canvas for images of these sizes."""
    height, width = max(h for h, _ in sizes), max(w for _, w in sizes)
    both_ways = [(a, b) for a, b in shapes] + [(b, a) for a, b in shapes]
    fitting = [(h, w) for h, w in both_ways if h >= height and w >= width]
    if fitting:
        return min(fitting, key=lambda shape: (shape[0] * shape[1], shape))
    return -(-height // multiple) * multiple, -(-width // multiple) * multiple


def bucket(n: int, fewest: int) -> int:
    """The smallest power of two that holds n, and not less than `fewest`."""
    return max(fewest, 1 << max(n - 1, 0).bit_length())


def _size(sample: Sample) -> Size:
    return int(sample.image.shape[-2]), int(sample.image.shape[-1])


def _pixels(samples: Sequence[Sample], canvas: Size) -> Tensor:
    pixels = torch.empty((len(samples), 3, *canvas), dtype=torch.uint8)
    for planes, sample in zip(pixels.numpy(), samples, strict=True):
        _place(sample.image, planes)
    return pixels


def _place(image: Tensor, planes: NDArray[Any]) -> None:
    """At the upper left, zero beyond. OpenCV takes the colours apart three times faster than torch."""
    border = 0, planes.shape[1] - image.shape[1], 0, planes.shape[2] - image.shape[2], cv2.BORDER_CONSTANT
    if image.stride(0) == 1:  # the colours of a pixel lie together, as in what is decoded or resized
        together = image.permute(1, 2, 0).numpy()
        cv2.split(cv2.copyMakeBorder(together, *border, value=0), list(planes))
    else:
        for plane, colour in zip(planes, image.numpy(), strict=True):
            cv2.copyMakeBorder(colour, *border, dst=plane, value=0)


def _targets(samples: Sequence[Sample], canvas: Size) -> Targets:
    slots = bucket(max(len(sample.labels) for sample in samples), FEWEST_SLOTS)
    return Targets(
        boxes=_stack([sample.boxes for sample in samples], slots),
        labels=_stack([sample.labels for sample in samples], slots),
        valid=_stack([torch.ones(len(sample.labels), dtype=torch.bool) for sample in samples], slots),
        crowd=_stack([sample.crowd for sample in samples], slots),
        masks=_masks(samples, slots),
        keypoints=_keypoints(samples, slots),
        semantic=_semantic(samples, canvas),
        object_weights=_weights(samples, slots),
    )


def _stack(rows: Sequence[Tensor], slots: int) -> Tensor:
    """[n, ...] of every image -> [B, slots, ...], zero where an image has no more."""
    plain = [row.as_subclass(Tensor) for row in rows]
    stacked = plain[0].new_zeros((len(rows), slots, *plain[0].shape[1:]))
    for slot, row in zip(stacked, plain, strict=True):
        slot[: len(row)] = row
    return stacked


def _masks(samples: Sequence[Sample], slots: int) -> Masks | None:
    """A crowd's mask is nobody's target, so its window stays empty."""
    masks = [sample.masks for sample in samples if sample.masks is not None]
    if len(masks) < len(samples):
        return None
    windows = torch.zeros((len(samples), slots, 4), dtype=torch.int64)
    parts = []
    for slot, sample, crops in zip(windows, samples, masks, strict=True):
        counted = ~sample.crowd
        if sample.crowd.any():
            crops = crops.select(counted)
        slot[: len(counted)][counted] = crops.windows
        parts.append(crops.as_subclass(Tensor))
    areas = windows[..., 2] * windows[..., 3]
    drawn = int(areas.sum())
    bits = torch.cat([*parts, torch.zeros(bucket(drawn, FEWEST_BITS) - drawn, dtype=torch.uint8)])
    offsets = areas.flatten().cumsum(0).view_as(areas) - areas
    return Masks(bits, offsets, windows)


def _keypoints(samples: Sequence[Sample], slots: int) -> Tensor | None:
    rows = []
    for sample in samples:
        if sample.keypoints is None or sample.visibility is None:
            return None
        rows.append(torch.cat([sample.keypoints.as_subclass(Tensor), sample.visibility[..., None].float()], dim=-1))
    return _stack(rows, slots)


def _proposals(samples: Sequence[Sample], most: int | None) -> Proposals | None:
    """Scores say the rank only, 1 / (1 + rank): sources order their regions, but their numbers mean nothing alike."""
    given = [sample.proposals for sample in samples if sample.proposals is not None]
    if len(given) < len(samples):
        return None
    slots = most or bucket(max(map(len, given)), FEWEST_PROPOSALS)
    boxes = _stack([one[:slots] for one in given], slots)
    valid = torch.arange(slots) < torch.tensor([len(one) for one in given])[:, None]
    return Proposals(boxes, torch.where(valid, 1 / (1 + torch.arange(slots)), 0.0), valid)


def _semantic(samples: Sequence[Sample], canvas: Size) -> Tensor | None:
    if any(sample.semantic is None for sample in samples):
        return None
    labels = torch.full((len(samples), *canvas), UNLABELLED, dtype=torch.uint8)
    for slot, sample in zip(labels, samples, strict=True):
        height, width = _size(sample)
        slot[:height, :width] = sample.semantic
    return labels


def _weights(samples: Sequence[Sample], slots: int) -> Tensor | None:
    """A sample that was not mixed counts in full; None where none was mixed at all."""
    if all(sample.object_weights is None for sample in samples):
        return None
    full = (
        torch.ones(len(sample.labels)) if sample.object_weights is None else sample.object_weights for sample in samples
    )
    return _stack(list(full), slots)
