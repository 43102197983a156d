"""Instances and stuff become one panoptic map (Kirillov et al., arXiv:1801.00868, section 5, and arXiv:1901.02446).

Instances in the order of their scores take what is still free, unless more than half of one is taken already; stuff
fills the rest, and a class with few pixels is left unlabelled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import hotcoco
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

THING = 0  # category id of the semantic class that is not stuff: pixels of any thing

Rle = dict[str, Any]


class MergeRules(NamedTuple):
    """Thresholds of the merge; the published PQ of Panoptic FPN are with 0.5, 0.5 and 4096."""

    score_thresh: float  # lowest score of an instance
    overlap_thresh: float  # largest part of an instance that other instances may have taken
    stuff_area_limit: int  # fewest pixels of a stuff class in an image


class MergedMap(NamedTuple):
    """Panoptic map of one image: segment ids 1, 2, ...; 0 is unlabelled."""

    ids: NDArray[np.int64]  # [h, w]
    category: NDArray[np.int64]  # [n] of segment i + 1
    scores: NDArray[np.float64]  # [n] 1 for stuff


def merge(
    masks: Sequence[Rle],
    scores: NDArray[np.floating],
    categories: NDArray[np.int64],
    semantic: NDArray[np.integer],
    stuff: Sequence[int],
    rules: MergeRules,
) -> MergedMap:
    """Merge the instances and the semantic map of one image.

    masks, scores, categories [D]: instances, with their category ids.
    semantic [h, w]: class of each pixel; `stuff[class]` is its category id, or THING.
    """
    ids = np.zeros(semantic.shape, np.int64)
    segments: list[tuple[int, float]] = []
    # 1. Instances, best first.
    for row in np.argsort(-scores, kind="stable").tolist():
        if scores[row] < rules.score_thresh:
            break
        mask = hotcoco.mask.decode(masks[row]).astype(bool)
        free = mask & (ids == 0)
        area, free_area = int(mask.sum()), int(free.sum())
        if free_area == 0 or (area - free_area) / area > rules.overlap_thresh:
            continue
        segments.append((int(categories[row]), float(scores[row])))
        ids[free] = len(segments)
    # 2. Stuff where no instance is.
    for label in np.unique(semantic).tolist():
        free = (semantic == label) & (ids == 0)
        if label < len(stuff) and stuff[label] != THING and free.sum() >= rules.stuff_area_limit:
            segments.append((stuff[label], 1.0))
            ids[free] = len(segments)
    category, score = zip(*segments, strict=True) if segments else ((), ())
    return MergedMap(ids, np.array(category, np.int64), np.array(score, np.float64))


def classify(logits: Tensor, content: tuple[int, int], size: tuple[int, int]) -> NDArray[np.int64]:
    """Return [h, w] the class of each pixel of the image file from [S, H / 4, W / 4] logits over the canvas.

    `content` (height, width) is the part of the canvas, in pixels, that shows the image; `size` is that of the file.
    Interpolated twice, to the canvas and from there to the file, before the best class is chosen.
    """
    height, width = content
    with torch.no_grad():
        canvas = F.interpolate(logits[None].float(), scale_factor=4, mode="bilinear", align_corners=False)
        inside = canvas[:, :, :height, :width]
        return F.interpolate(inside, size, mode="bilinear", align_corners=False)[0].argmax(0).cpu().numpy()
