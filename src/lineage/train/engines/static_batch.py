"""Buffers at fixed addresses that a CUDA graph reads, in few sizes.

Object slots and mask bytes are padded further than a batch is, so that fewer graphs are recorded: a step is the same
with more empty slots.
"""

from __future__ import annotations

from collections.abc import Hashable

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

from lineage.structures import Images, Masks, Targets

MIN_SLOTS = 16  # of objects; then 64, 256, ...
CANVASES_OF_MASKS = 2  # bytes reserved for the masks of an image, in canvases; more if a batch has more

Inputs = tuple[Images, Targets | None]


def reserve(images: Images, targets: Targets | None) -> Inputs:
    """Return zeros of the shapes that hold this batch and others like it."""
    return tree_map_only(Tensor, torch.zeros_like, images), None if targets is None else _reserve_targets(
        targets, images
    )


def _reserve_targets(targets: Targets, images: Images) -> Targets:
    slots = round_up_by_four(targets.boxes.shape[1], MIN_SLOTS)

    def widen(field: Tensor | None) -> Tensor | None:
        return None if field is None else field.new_zeros((field.shape[0], slots, *field.shape[2:]))

    semantic = None if targets.semantic is None else torch.zeros_like(targets.semantic)
    masks = targets.masks
    if masks is not None:
        batch, _, height, width = images.pixels.shape
        capacity = round_up_by_four(len(masks.bits), batch * height * width * CANVASES_OF_MASKS)
        masks = Masks(masks.bits.new_zeros(capacity), widen(masks.offsets), widen(masks.windows))  # type: ignore[arg-type]
    fields = {name: widen(getattr(targets, name)) for name in ("boxes", "labels", "valid", "crowd", "keypoints")}
    return Targets(**fields, masks=masks, semantic=semantic, object_weights=widen(targets.object_weights))  # type: ignore[arg-type]


def round_up_by_four(n: int, minimum: int) -> int:
    """Return the smallest of minimum, 4 minimum, 16 minimum, ... of at least n."""
    while minimum < n:
        minimum *= 4
    return minimum


def fill(static: Inputs, images: Images, targets: Targets | None) -> None:
    """Copy a batch to the buffers; what it does not fill becomes 0."""
    for buffer, value in zip(tree_leaves(static), tree_leaves((images, targets)), strict=True):
        if value is None:
            continue
        if buffer.shape != value.shape:
            buffer.zero_()
        buffer[tuple(slice(length) for length in value.shape)].copy_(value, non_blocking=True)


def read_shapes(inputs: Inputs) -> Hashable:
    """Return the shapes and types of all tensors, None where a field is None."""
    return tuple(None if leaf is None else (leaf.shape, leaf.dtype) for leaf in tree_leaves(inputs))
