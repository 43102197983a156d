"""Deletion and insertion (arXiv:1806.07421): does the score fall if the pixels that a map names are removed?

Deletion: from the image, pixels by falling value of the map become those of `fill`; a good map has a small area under
the curve of scores. Insertion: from `fill`, the pixels of the image return in that order; a good map has a large area.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from lineage.explain.variants import Detect, detect_variants
from lineage.ops import boxes as box_ops
from lineage.structures import Detections, Images

Score = Callable[[Iterator[Tensor]], list[float]]  # pixels [1, 3, H, W] of variants -> their scores


def trace_deletion(
    score: Score, pixels: Tensor, fill: Tensor, values: Tensor, *, count: int, steps: int
) -> list[float]:
    """Return steps + 1 scores, from the image to the image without the `count` pixels of largest `values` [H, W].

    fill: [1, 3, H, W] the pixels that replace them. Equal values are taken in reading order.
    """
    order = values.flatten().argsort(descending=True, stable=True)

    def remove(number: int) -> Tensor:
        removed = torch.zeros(values.numel(), dtype=torch.bool)
        removed[order[:number]] = True
        return torch.where(removed.view(values.shape), fill, pixels)

    return score(remove(round(step / steps * count)) for step in range(steps + 1))


def trace_insertion(
    score: Score, pixels: Tensor, fill: Tensor, values: Tensor, *, count: int, steps: int
) -> list[float]:
    """Return steps + 1 scores, from `fill` to `fill` with the `count` pixels of largest `values` of the image."""
    return trace_deletion(score, fill, pixels, values, count=count, steps=steps)


def area_under_curve(scores: Sequence[float]) -> float:
    """Return the area under equally spaced scores by trapezoids, over an interval of 1."""
    return (sum(scores) - scores[0] / 2 - scores[-1] / 2) / (len(scores) - 1)


def score_of_detection(detect: Detect, images: Images, detections: Detections, slot: int) -> Score:
    """Return the detector's scores as a function of pixels: the best detection of the class with IoU > 0.5, else 0.

    detections: of the image; slot: the explained one. This is ODAM's form (arXiv:2304.06354), which pairs it with
    `count` = the area of the box.
    """
    box, label = detections.boxes[:, slot : slot + 1], detections.labels[0, slot]

    def find(others: Detections) -> float:
        overlap = box_ops.iou(box, others.boxes)[0, 0]
        matches = others.valid[0] & (others.labels[0] == label) & (overlap > 0.5)
        return max(others.scores[0][matches].tolist(), default=0.0)

    @torch.no_grad()
    def score(variants: Iterator[Tensor]) -> list[float]:
        return [find(others) for others in detect_variants(detect, images, variants)]

    return score
