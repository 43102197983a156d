"""D-RISE (arXiv:2006.03204): a detector sees the image through random masks; masks under which it still detects count.

It needs no gradient. The variant: bilinear masks of RISE (arXiv:1806.07421), the mean colour where a mask hides, the
similarity IoU(b, b_j) * cos(P, P_j) of the paper, without objectness, over the whole row of probabilities with
background.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from lineage.explain.variants import Detect, detect_variants
from lineage.ops import boxes as box_ops
from lineage.structures import Detections, Images

CELLS = 16  # of a mask's grid, along either side


@torch.no_grad()
def explain_by_masks(
    detect: Detect,
    images: Images,
    detections: Detections,
    baseline: Tensor,
    *,
    masks: int,
    cells: int = CELLS,
    visible: float = 0.5,
    seed: int = 0,
) -> Tensor:
    """Return the maps of all detections of one image: [D, H, W]

    baseline: [1, 3, H, W] pixels where a mask hides. masks: their number; each is one run of the detector.
    cells, visible: grid of a mask along either side, and the probability that a cell is visible.
    """
    pixels = images.pixels.float()
    height, width = pixels.shape[-2:]
    weighted = torch.zeros(detections.boxes.shape[1], height, width)
    coverage = torch.zeros(height, width)
    weights = torch.zeros(detections.boxes.shape[1])
    # the same masks twice, from one seed, so that they need not all be in memory at once
    drawn, applied = (draw_masks(masks, (height, width), cells, visible, seed) for _ in range(2))
    hidden = (baseline + mask * (pixels - baseline) for mask in applied)
    for mask, others in zip(drawn, detect_variants(detect, images, hidden), strict=True):
        similarity = measure_similarity(detections, others)
        weighted += similarity[:, None, None] * mask
        coverage += mask
        weights += similarity
    # deviates: the mean weight is subtracted, as in Microsoft's code; the paper's map has a constant and its noise
    return (weighted - (weights / masks)[:, None, None] * coverage) / (masks * visible)


def draw_masks(count: int, size: tuple[int, int], cells: int, visible: float, seed: int) -> Iterator[Tensor]:
    """Yield masks [H, W] of 0 to 1: a grid of cells enlarged bilinearly, and cut out at a random offset (RISE)."""
    generator = torch.Generator().manual_seed(seed)
    cell = [math.ceil(side / cells) for side in size]
    enlarged = [(cells + 1) * side for side in cell]
    for _ in range(count):
        grid = (torch.rand(1, 1, cells + 1, cells + 1, generator=generator) < visible).float()
        mask = F.interpolate(grid, size=enlarged, mode="bilinear", align_corners=False)[0, 0]
        top, left = (int(torch.randint(0, side, (), generator=generator)) for side in cell)
        yield mask[top : top + size[0], left : left + size[1]]


def measure_similarity(targets: Detections, others: Detections) -> Tensor:
    """Return how well each target is among other detections of one image: [D] max over j of IoU * cosine."""
    overlap = box_ops.iou(targets.boxes, others.boxes)[0].nan_to_num()
    cosine = F.cosine_similarity(targets.probabilities[0][:, None], others.probabilities[0][None], dim=-1)
    similarity = torch.where(others.valid[0], overlap * cosine, 0.0)
    return similarity.amax(1) if similarity.shape[1] else similarity.new_zeros(similarity.shape[0])
