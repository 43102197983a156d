"""Synthetic batches for model tests, in our padded form and in torchvision's lists."""

from __future__ import annotations

import torch
from torch import Tensor

from lineage.ops.random import fold_in
from lineage.structures import Images, Masks, Proposals, Targets

KEYPOINTS = 17  # of an object


def batch(
    sizes: list[tuple[int, int]],
    counts: list[int],
    classes: int,
    *,
    canvas: tuple[int, int],
    slots: int = 8,
    seed: int = 0,
) -> tuple[Images, Targets]:
    """Images of the given content sizes on one canvas, with random boxes, masks, keypoints and semantic labels."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.zeros(len(sizes), 3, *canvas, dtype=torch.uint8)
    boxes = torch.zeros(len(sizes), slots, 4)
    for image, ((height, width), count) in enumerate(zip(sizes, counts, strict=True)):
        pixels[image, :, :height, :width] = torch.randint(0, 256, (3, height, width), generator=generator)
        limit = torch.tensor([width, height])
        low = torch.rand(count, 2, generator=generator) * limit * 0.6
        high = torch.minimum(low + 12 + torch.rand(count, 2, generator=generator) * limit * 0.4, limit)
        boxes[image, :count] = torch.cat((low, high), 1).round()
    valid = torch.arange(slots) < torch.tensor(counts)[:, None]
    labels = torch.randint(0, classes, (len(sizes), slots), generator=generator) * valid
    images = Images(pixels, torch.tensor(sizes).float(), torch.tensor([fold_in(seed, i) for i in range(len(sizes))]))
    masks = _masks(boxes, generator)
    keypoints, semantic = _keypoints(boxes, generator), _semantic(sizes, canvas, classes, generator)
    return images, Targets(boxes, labels, valid, torch.zeros_like(valid), masks, keypoints, semantic)


def _masks(boxes: Tensor, generator: torch.Generator) -> Masks:
    windows = torch.cat((boxes[..., :2], boxes[..., 2:] - boxes[..., :2]), -1).long()
    areas = windows[..., 2] * windows[..., 3]
    offsets = areas.flatten().cumsum(0).view_as(areas) - areas
    # blocks of 5 pixels rather than noise, so that neighbouring samples agree as in real masks
    bits = torch.rand(int(areas.sum()) // 5 + 1, generator=generator).gt(0.4).repeat_interleave(5)
    return Masks(bits.to(torch.uint8), offsets, windows)


def _keypoints(boxes: Tensor, generator: torch.Generator) -> Tensor:
    """In and around their object, with every visibility: [B, G, 17, 3]"""
    share = torch.rand(*boxes.shape[:2], KEYPOINTS, 2, generator=generator) * 1.2 - 0.1
    low, high = boxes[..., None, :2], boxes[..., None, 2:]
    seen = torch.randint(0, 3, (*boxes.shape[:2], KEYPOINTS, 1), generator=generator)
    return torch.cat((low + share * (high - low), seen.float()), -1)


def _semantic(
    sizes: list[tuple[int, int]], canvas: tuple[int, int], classes: int, generator: torch.Generator
) -> Tensor:
    """Blocks of classes, 255 beyond each image: [B, H, W] uint8"""
    blocks = torch.randint(0, classes, (len(sizes), canvas[0] // 8, canvas[1] // 8), generator=generator)
    labels = blocks.repeat_interleave(8, 1).repeat_interleave(8, 2).to(torch.uint8)
    for slot, (height, width) in zip(labels, sizes, strict=True):
        slot[height:], slot[:, width:] = 255, 255
    return labels


def dense(masks: Masks, image: int, slot: int, size: tuple[int, int]) -> Tensor:
    """One instance's mask on its whole image: [h, w] uint8"""
    x, y, width, height = masks.windows[image, slot].tolist()
    start = int(masks.offsets[image, slot])
    full = torch.zeros(size, dtype=torch.uint8)
    full[y : y + height, x : x + width] = masks.bits[start : start + width * height].view(height, width)
    return full


def proposals(targets: Targets, *, others: int = 24, side: float = 90.0, seed: int = 1) -> Proposals:
    """What a dataset carries along: the objects, moved a little, and boxes anywhere."""
    generator = torch.Generator().manual_seed(seed)
    moved = targets.boxes + torch.randn(targets.boxes.shape, generator=generator) * targets.valid[..., None]
    low = torch.rand(len(moved), others, 2, generator=generator) * side * 2 / 3
    anywhere = torch.cat((low, low + 4 + torch.rand(low.shape, generator=generator) * side / 3), -1)
    boxes = torch.cat((moved.clamp(min=0), anywhere), 1)
    valid = torch.cat((targets.valid, torch.ones(anywhere.shape[:2], dtype=torch.bool)), 1)
    return Proposals(boxes, torch.arange(boxes.shape[1], 0, -1.0).expand(len(boxes), -1).contiguous(), valid)
