"""Instances and stuff become one panoptic map (Kirillov et al., arXiv:1801.00868, section 5, and arXiv:1901.02446).

Instances in the order of their scores take what is still free, unless more than half of one is taken already; stuff
fills the rest, and what little there is of a class is left unlabelled.
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

THING = 0  # a semantic class that is no stuff: pixels of any thing

Rle = dict[str, Any]


class Rules(NamedTuple):
    """The published PQ of Panoptic FPN are with 0.5, 0.5 and 4096."""

    score: float  # of an instance, at least
    overlap: float  # the part of it that others may have taken, at most
    stuff: int  # pixels of a stuff class in an image, at least


class Merged(NamedTuple):
    """One image: segment ids 1, 2, ... on 0."""

    ids: NDArray[np.int64]  # [h, w]
    category: NDArray[np.int64]  # [n] of segment i + 1
    scores: NDArray[np.float32]  # [n] 1 for stuff


def merge(
    masks: Sequence[Rle],
    scores: NDArray[np.floating],
    categories: NDArray[np.int64],
    semantic: NDArray[np.integer],
    stuff: Sequence[int],
    rules: Rules,
) -> Merged:
    """`categories` [D] are ids; `semantic` [h, w] is the class of each pixel, `stuff[class]` its category id or 0."""
    ids = np.zeros(semantic.shape, np.int64)
    found: list[tuple[int, float]] = []
    for row in np.argsort(-scores, kind="stable").tolist():
        if scores[row] < rules.score:
            break
        mask = hotcoco.mask.decode(masks[row]).astype(bool)
        free = mask & (ids == 0)
        area, left = int(mask.sum()), int(free.sum())
        if left == 0 or (area - left) / area > rules.overlap:
            continue
        found.append((int(categories[row]), float(scores[row])))
        ids[free] = len(found)
    for label in np.unique(semantic).tolist():
        free = (semantic == label) & (ids == 0)
        if label < len(stuff) and stuff[label] != THING and free.sum() >= rules.stuff:
            found.append((stuff[label], 1.0))
            ids[free] = len(found)
    category, score = zip(*found, strict=True) if found else ((), ())
    return Merged(ids, np.array(category, np.int64), np.array(score, np.float32))


def classify(logits: Tensor, content: tuple[int, int], size: tuple[int, int]) -> NDArray[np.int64]:
    """[S, H / 4, W / 4] logits over the canvas -> [h, w] class of each pixel of the file.

    `content` is the part of the canvas, in pixels, that shows the image. Interpolated twice, to the canvas and from
    there to the file, before the best class is chosen.
    """
    height, width = content
    with torch.no_grad():
        canvas = F.interpolate(logits[None].float(), scale_factor=4, mode="bilinear", align_corners=False)
        inside = canvas[:, :, :height, :width]
        return F.interpolate(inside, size, mode="bilinear", align_corners=False)[0].argmax(0).cpu().numpy()
