"""A detector whose scores are calibrated, as a module of torch operations that can be exported."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lineage.calibration.beta import Beta
from lineage.calibration.bin_wise_temperature import BinWiseTemperature
from lineage.calibration.calibration_file import Calibration
from lineage.calibration.histogram import Histogram
from lineage.calibration.isotonic import Isotonic
from lineage.calibration.logit import SMALLEST
from lineage.calibration.platt import Platt
from lineage.calibration.score_map import ScoreMap
from lineage.calibration.split import CalibrationError
from lineage.calibration.temperature import Temperature
from lineage.calibration.ties import SHARE
from lineage.structures import Detections, Images


class CalibratedModel(nn.Module):
    """A detector that detects as `model` does, with the scores of a calibration.

    Slots stay in the order of the raw scores; maps that may fall, such as bts, leave that order.
    """

    def __init__(self, model: nn.Module, calibration: Calibration, category_ids: Sequence[int]):
        """Choose the map of each label.

        category_ids: [C] of each label. Raises CalibrationError for a map by size, which needs the image file, and for
        one of another model's classes.
        """
        super().__init__()
        grouped = calibration.map
        if "size" in grouped.by:
            raise CalibrationError(
                f"{calibration.source} has a map for each size in pixels of the image file, which an exported model "
                "does not read. Fit one for all sizes: lineage calibrate ... without --by size"
            )
        if unknown := sorted({*category_ids} - calibration.classes.keys()):
            raise CalibrationError(
                f"{calibration.source} is of a detector without the category ids {', '.join(map(str, unknown[:8]))}: "
                "it belongs to another model."
            )
        self.model, self.rest = model, grouped.rest
        self.functions = [grouped.functions.get(str(number), grouped.rest) for number in category_ids]
        self.is_grouped = bool(grouped.by)

    def detect(self, images: Images) -> Detections:
        detections: Detections = self.model.detect(images)
        scores = detections.scores.double()
        calibrated = apply_map(self.rest, scores)
        for label, function in enumerate(self.functions if self.is_grouped else ()):
            calibrated = torch.where(detections.labels == label, apply_map(function, scores), calibrated)
        return detections._replace(scores=calibrated.to(detections.scores.dtype))


def apply_map(function: ScoreMap, scores: Tensor) -> Tensor:
    """Return what a map of `lineage.calibration` returns, in torch operations; scores: float64 of any shape."""
    clipped = torch.where(scores < SMALLEST, SMALLEST, scores)  # torch.onnx writes a wrong Clip of float64 for clamp
    clipped = torch.where(scores > 1 - SMALLEST, 1 - SMALLEST, clipped)
    logits = clipped.log() - (-clipped).log1p()
    match function:
        case Temperature(temperature):
            return (logits / temperature).sigmoid()
        case Platt(slope, intercept):
            return (slope * logits + intercept).sigmoid()
        case Beta(a, b, c):
            return (a * clipped.log() - b * (-clipped).log1p() + c).sigmoid()
        case BinWiseTemperature(edges, temperatures):
            return (logits / _look_up(scores, edges, temperatures)).sigmoid()
        case Histogram(edges, values):
            return _keep_order(_look_up(scores, edges, values), scores)
        case Isotonic(starts, values):
            return _keep_order(_look_up(scores, starts[1:], values), scores)
    raise CalibrationError(f"{type(function).__name__} cannot be exported")


def _look_up(scores: Tensor, edges: Sequence[float], values: Sequence[float]) -> Tensor:
    """Return the value of each score's bin; `values` are one more than `edges`."""
    bins = (scores[..., None] >= scores.new_tensor(edges)).sum(-1)
    return scores.new_tensor(values)[bins]


def _keep_order(calibrated: Tensor, raw: Tensor) -> Tensor:
    return (1 - SHARE) * calibrated + SHARE * raw
