"""AP of a detector on other test images of the same kind, by the bootstrap (Efron, Annals of Statistics 7, 1979).

Images are drawn with replacement; each draw gives an AP. Their standard deviation is the noise of the images. Draws
depend on the number of images alone: two models on the same images get the same draws, and their difference is paired.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lineage.eval.metrics.matching import AP75, RECALLS, MatchedDetections
from lineage.eval.scores import nan_mean

DRAWS = 200
Floats = NDArray[np.float64]


class Replicates(NamedTuple):
    """Percent, one per draw."""

    ap: list[float]
    ap50: list[float]
    ap75: list[float]


def draw_weights(num_images: int, draws: int = DRAWS) -> Floats:
    """Return [draws, images] how often each image is drawn."""
    chance = np.random.default_rng(0)
    return chance.multinomial(num_images, np.full(num_images, 1 / num_images), size=draws).astype(np.float64)


def bootstrap_ap(classes: Sequence[MatchedDetections], weights: Floats) -> Replicates:
    """Return AP, AP50 and AP75 for each row of `weights` [draws, images], over objects of all sizes."""
    values = [[nan_mean(curves) for curves in _reduce(classes, row)] for row in weights]
    return Replicates(*([100 * float(value) for value in column] for column in zip(*values, strict=True)))


def _reduce(classes: Sequence[MatchedDetections], weights: Floats) -> tuple[list[Floats], list[Floats], list[Floats]]:
    """Return the precisions of all classes that this draw has objects of: all, at IoU .5, at IoU .75."""
    curves = [curve for matched in classes if (curve := _sample_precision(matched, weights)) is not None]
    return curves, [curve[0] for curve in curves], [curve[AP75] for curve in curves]


def _sample_precision(matched: MatchedDetections, weights: Floats) -> Floats | None:
    """Return [T, 101] precision at the recall points, each detection and object as often as its image was drawn."""
    num_objects = weights[matched.object_images].sum()
    if num_objects == 0:
        return None
    # 1. True and false positives, in the order of the scores.
    drawn = weights[matched.image]
    is_tp, ignored = matched.is_tp[0], matched.ignored[0]
    tp, fp = np.cumsum((is_tp & ~ignored) * drawn, axis=1), np.cumsum((~is_tp & ~ignored) * drawn, axis=1)
    # 2. As matching.precision_recall: the greatest precision at this recall or beyond, 0 beyond the last.
    precision = tp / (tp + fp + np.spacing(1))
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    precision = np.concatenate([precision, np.zeros((len(precision), 1))], axis=1)
    index = [np.searchsorted(row, RECALLS, side="left") for row in tp / num_objects]
    return np.stack([row[columns] for row, columns in zip(precision, index, strict=True)])


def bootstrap_clips(records: Sequence[Mapping[str, Any]], metrics: Sequence[str]) -> dict[str, list[float]]:
    """Return metric -> the mean over frames for each draw of whole clips, whose frames depend on each other.

    records: of each frame its `clip` and its metrics.
    """
    clips = {clip: position for position, clip in enumerate(dict.fromkeys(record["clip"] for record in records))}
    drawn = draw_weights(len(clips))[:, [clips[record["clip"]] for record in records]]  # [draws, frames]
    values = {metric: np.array([record[metric] for record in records]) for metric in metrics}
    return {metric: (drawn @ of_frames / drawn.sum(1)).tolist() for metric, of_frames in values.items()}
