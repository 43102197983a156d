"""Scenes of `shapes` in grey, whose classes hang on nothing but the colour of one square inside of each object."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import tv_tensors as tv

from lineage.data.collate import collate
from lineage.data.samples.sample import Sample
from lineage.data.shapes.dataset import Shapes
from lineage.ops.random import fold_in
from lineage.structures import Batch
from lineage.train.detection_module import combine_losses
from tests.models.compose import build

COLOURS = torch.tensor([[225, 40, 40], [40, 40, 225], [40, 200, 60]], dtype=torch.uint8)  # of the classes
SIDE, LARGEST, SMALLEST = 96, 17, 7  # of an image, and of squares
STEPS, IMAGES_PER_STEP = 400, 4


class PlantedScene(NamedTuple):
    sample: Sample
    squares: Tensor  # [n, 4] int64 x1 y1 x2 y2


class PlantedShapes:
    """Scenes of two or three objects; classes are drawn by a hash, whatever the outline."""

    def __init__(self, seed: int):
        self.seed = seed
        self.shapes = Shapes(seed=seed, length=4000, size=SIDE, objects=2.5, crowds=0.0, clutter=0.0,
                             scales=(0.3, 0.7), kinds=6)  # fmt: skip

    def __getitem__(self, index: int) -> PlantedScene:
        sample = self.shapes[index]
        grey = sample.image.float().mean(0, keepdim=True).expand(3, -1, -1).to(torch.uint8).clone()
        squares, labels = [], []
        for slot in range(len(sample.labels)):
            label = fold_in(self.seed, index, slot) % len(COLOURS)
            x1, y1, x2, y2 = place_square(fill_mask(sample, slot))
            grey[:, y1:y2, x1:x2] = COLOURS[label][:, None, None]
            squares.append((x1, y1, x2, y2))
            labels.append(label)
        planted = sample._replace(
            image=tv.Image(grey), labels=torch.tensor(labels, dtype=torch.int64), keypoints=None, visibility=None
        )
        return PlantedScene(planted, torch.tensor(squares, dtype=torch.int64).reshape(-1, 4))

    def draw_batch(self, indices: list[int]) -> Batch:
        return collate([self[index].sample for index in indices], [0] * len(indices))


def fill_mask(sample: Sample, slot: int) -> Tensor:
    """Return the mask of an object [H, W]."""
    assert sample.masks is not None
    start = 0
    for index, (x, y, width, height) in enumerate(sample.masks.windows.tolist()):
        if index == slot:
            mask = torch.zeros(SIDE, SIDE)
            bits = sample.masks.as_subclass(Tensor)[start : start + width * height]
            mask[y : y + height, x : x + width] = bits.view(height, width).float()
            return mask
        start += width * height
    raise IndexError(slot)


def place_square(mask: Tensor) -> tuple[int, int, int, int]:
    """Return the largest square that fits into a mask, x1 y1 x2 y2; of a thin object, the least sticks out."""
    for side in range(LARGEST, SMALLEST - 1, -2):
        share = F.avg_pool2d(mask[None, None], side, stride=1)[0, 0]
        if share.max() > 0.999 or side == SMALLEST:
            y, x = divmod(int(share.argmax()), share.shape[1])
            return x, y, x + side, y + side
    raise AssertionError


def train_detector(model: str = "faster_rcnn", steps: int = STEPS) -> nn.Module:
    """Return a mini detector that has learned the classes of PlantedShapes, in a minute of one core."""
    torch.manual_seed(0)
    network = build(f"model={model}", "tier=mini", f"dataset.classes={len(COLOURS)}").train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    scenes = PlantedShapes(seed=1)
    for step in range(steps):
        first = step * IMAGES_PER_STEP
        batch = scenes.draw_batch([*range(first, first + IMAGES_PER_STEP)])
        loss, _, _ = combine_losses(network.losses(batch.images, batch.targets))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimizer.step()
        schedule.step()
    return network.eval()
