"""Batches on the device: random pixels and objects, at COCO's size after the papers' resize."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from lineage.ops.random import fold_in
from lineage.structures import Images, Masks, Targets

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
CANVAS = (800, 1344)
OBJECTS, SLOTS, CLASSES = 7, 8, 80  # COCO has 7.3 objects an image
BORDER = 11  # columns of padding: COCO's 480 x 640 becomes 800 x 1066


def scene(
    images: int, canvas: tuple[int, int] = CANVAS, objects: int = OBJECTS, slots: int = SLOTS, classes: int = CLASSES
) -> tuple[Images, Targets]:
    """Return images with `objects` objects each, whose masks are their boxes."""
    generator = torch.Generator().manual_seed(0)
    height, width = canvas
    extent = torch.tensor([width, height], dtype=torch.float32)
    low = torch.rand(images, slots, 2, generator=generator) * extent * 0.6
    boxes = torch.cat((low, low + 20 + torch.rand(images, slots, 2, generator=generator) * extent * 0.35), -1).round()
    boxes = torch.minimum(boxes, torch.tensor([width - BORDER, height, width - BORDER, height]))
    valid = (torch.arange(slots) < objects).expand(images, slots).contiguous()
    windows = torch.cat((boxes[..., :2], boxes[..., 2:] - boxes[..., :2]), -1).long() * valid[..., None]
    areas = windows[..., 2] * windows[..., 3]
    offsets = areas.flatten().cumsum(0).view_as(areas) - areas
    masks = Masks(torch.ones(int(areas.sum()), dtype=torch.uint8), offsets, windows)
    labels = torch.randint(0, classes, (images, slots), generator=generator)
    pixels = torch.randint(0, 256, (images, 3, height, width), generator=generator, dtype=torch.uint8)
    keys = torch.tensor([fold_in(0, image) for image in range(images)])
    points = boxes[:, :, None, :2] + torch.rand(images, slots, 17, 2, generator=generator) * 20
    keypoints = torch.cat((points, torch.full((images, slots, 17, 1), 2.0)), -1)
    sizes = torch.tensor([[float(height), float(width - BORDER)]] * images)
    inputs = Images(pixels, sizes, keys), Targets(boxes, labels, valid, torch.zeros_like(valid), masks, keypoints)
    return to_device(inputs)


def to_device(value: Any) -> Any:
    return tree_map_only(Tensor, lambda field: field.to(DEVICE), value)


def as_lists(images: Images, targets: Targets) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """Return torchvision's form of a batch: float images without padding, and a dictionary of full masks each."""
    pictures, dictionaries = [], []
    for image in range(len(images.pixels)):
        height, width = images.sizes[image].long().tolist()
        pictures.append(images.pixels[image, :, :height, :width].float() / 255)
        count = int(targets.valid[image].sum())
        boxes = targets.boxes[image, :count]
        masks = torch.zeros(count, height, width, dtype=torch.uint8, device=boxes.device)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes.long().tolist(), strict=True):
            mask[y1:y2, x1:x2] = 1
        dictionaries.append({"boxes": boxes, "labels": targets.labels[image, :count] + 1, "masks": masks})
    return pictures, dictionaries
