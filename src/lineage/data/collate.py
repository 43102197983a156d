"""Collation: samples of different sizes become one dense batch, in one of few shapes.

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
from lineage.data.transforms.geometry import Size, get_size
from lineage.structures import UNLABELLED, Batch, Images, Masks, Proposals, Targets

MIN_SLOTS = 8
MIN_BITS = 1 << 12
MIN_PROPOSALS = 64


def collate(
    samples: Sequence[Sample],
    rng_keys: Sequence[int],
    *,
    size_divisibility: int = 32,
    buckets: Sequence[Sequence[int]] = (),
    max_proposals: int | None = None,
) -> Batch:
    """Pad the samples to one size and stack them.

    rng_keys           of each sample, for ops.random
    size_divisibility  both sides are a multiple of it if no bucket fits: the largest stride of the backbone
    buckets            sizes (height, width), either way round; the smallest one that holds every image is used
    max_proposals      precomputed proposals per image, the best ones; None keeps all and pads to a power of two
    """
    canvas = choose_canvas([get_size(sample) for sample in samples], size_divisibility, buckets)
    return Batch(
        images=Images(
            pixels=_stack_pixels(samples, canvas),
            sizes=torch.tensor([get_size(sample) for sample in samples], dtype=torch.float32),
            rng_keys=torch.tensor(list(rng_keys), dtype=torch.int64),
            proposals=_stack_proposals(samples, max_proposals),
        ),
        targets=_stack_targets(samples, canvas),
        ids=torch.tensor([sample.image_id for sample in samples], dtype=torch.int64),
        original_sizes=torch.tensor([sample.original_size for sample in samples], dtype=torch.int64),
    )


def choose_canvas(sizes: Sequence[Size], size_divisibility: int, buckets: Sequence[Sequence[int]] = ()) -> Size:
    """Return the (height, width) of the batch for images of these sizes."""
    height, width = max(h for h, _ in sizes), max(w for _, w in sizes)
    both_ways = [(a, b) for a, b in buckets] + [(b, a) for a, b in buckets]
    fitting = [(h, w) for h, w in both_ways if h >= height and w >= width]
    if fitting:
        return min(fitting, key=lambda shape: (shape[0] * shape[1], shape))
    return -(-height // size_divisibility) * size_divisibility, -(-width // size_divisibility) * size_divisibility


def round_up_to_power(n: int, minimum: int) -> int:
    """Return the smallest power of two of at least n, or `minimum` if that is larger."""
    return max(minimum, 1 << max(n - 1, 0).bit_length())


def _stack_pixels(samples: Sequence[Sample], canvas: Size) -> Tensor:
    pixels = torch.empty((len(samples), 3, *canvas), dtype=torch.uint8)
    for planes, sample in zip(pixels.numpy(), samples, strict=True):
        _copy_image(sample.image, planes)
    return pixels


def _copy_image(image: Tensor, planes: NDArray[Any]) -> None:
    """Copy to the upper left and fill the rest with zeros. OpenCV splits colours three times faster than torch."""
    border = 0, planes.shape[1] - image.shape[1], 0, planes.shape[2] - image.shape[2], cv2.BORDER_CONSTANT
    if image.stride(0) == 1:  # channels last, as a decoded or resized image is
        channels_last = image.permute(1, 2, 0).numpy()
        cv2.split(cv2.copyMakeBorder(channels_last, *border, value=0), list(planes))
    else:
        for plane, channel in zip(planes, image.numpy(), strict=True):
            cv2.copyMakeBorder(channel, *border, dst=plane, value=0)


def _stack_targets(samples: Sequence[Sample], canvas: Size) -> Targets:
    slots = round_up_to_power(max(len(sample.labels) for sample in samples), MIN_SLOTS)
    return Targets(
        boxes=_stack([sample.boxes for sample in samples], slots),
        labels=_stack([sample.labels for sample in samples], slots),
        valid=_stack([torch.ones(len(sample.labels), dtype=torch.bool) for sample in samples], slots),
        crowd=_stack([sample.crowd for sample in samples], slots),
        masks=_stack_masks(samples, slots),
        keypoints=_stack_keypoints(samples, slots),
        semantic=_stack_semantic(samples, canvas),
        object_weights=_stack_weights(samples, slots),
    )


def _stack(rows: Sequence[Tensor], slots: int) -> Tensor:
    """Stack [n, ...] of every image as [B, slots, ...], padded with zeros."""
    tensors = [row.as_subclass(Tensor) for row in rows]
    stacked = tensors[0].new_zeros((len(rows), slots, *tensors[0].shape[1:]))
    for slot, row in zip(stacked, tensors, strict=True):
        slot[: len(row)] = row
    return stacked


def _stack_masks(samples: Sequence[Sample], slots: int) -> Masks | None:
    """Concatenate the masks of all images; the windows of crowds stay empty. Return None if an image has no masks."""
    masks = [sample.masks for sample in samples if sample.masks is not None]
    if len(masks) < len(samples):
        return None
    windows = torch.zeros((len(samples), slots, 4), dtype=torch.int64)
    pieces = []
    for slot, sample, crops in zip(windows, samples, masks, strict=True):
        is_target = ~sample.crowd
        if sample.crowd.any():
            crops = crops.select(is_target)
        slot[: len(is_target)][is_target] = crops.windows
        pieces.append(crops.as_subclass(Tensor))
    areas = windows[..., 2] * windows[..., 3]
    total = int(areas.sum())
    bits = torch.cat([*pieces, torch.zeros(round_up_to_power(total, MIN_BITS) - total, dtype=torch.uint8)])
    offsets = areas.flatten().cumsum(0).view_as(areas) - areas
    return Masks(bits, offsets, windows)


def _stack_keypoints(samples: Sequence[Sample], slots: int) -> Tensor | None:
    rows = []
    for sample in samples:
        if sample.keypoints is None or sample.visibility is None:
            return None
        rows.append(torch.cat([sample.keypoints.as_subclass(Tensor), sample.visibility[..., None].float()], dim=-1))
    return _stack(rows, slots)


def _stack_proposals(samples: Sequence[Sample], max_proposals: int | None) -> Proposals | None:
    """Score = 1 / (1 + rank); the raw scores of different proposal sources are not comparable."""
    proposals = [sample.proposals for sample in samples if sample.proposals is not None]
    if len(proposals) < len(samples):
        return None
    slots = max_proposals or round_up_to_power(max(map(len, proposals)), MIN_PROPOSALS)
    boxes = _stack([of_image[:slots] for of_image in proposals], slots)
    valid = torch.arange(slots) < torch.tensor([len(of_image) for of_image in proposals])[:, None]
    return Proposals(boxes, torch.where(valid, 1 / (1 + torch.arange(slots)), 0.0), valid)


def _stack_semantic(samples: Sequence[Sample], canvas: Size) -> Tensor | None:
    if any(sample.semantic is None for sample in samples):
        return None
    labels = torch.full((len(samples), *canvas), UNLABELLED, dtype=torch.uint8)
    for slot, sample in zip(labels, samples, strict=True):
        height, width = get_size(sample)
        slot[:height, :width] = sample.semantic
    return labels


def _stack_weights(samples: Sequence[Sample], slots: int) -> Tensor | None:
    """Return None if no sample has weights; the weights of a sample without any are 1."""
    if all(sample.object_weights is None for sample in samples):
        return None
    weights = [
        torch.ones(len(sample.labels)) if sample.object_weights is None else sample.object_weights for sample in samples
    ]
    return _stack(weights, slots)
