"""The maps of the detections of one image, in the pixels of its file: what pictures, page and JSON show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lineage.explain.pointing import measure_discrimination, measure_energy, points_inside
from lineage.report.draw import Colour, Rectangle

Map = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class FileMap:
    """A map of one method. Negative values speak against the scalar; pictures and measures read positive ones."""

    values: Map  # [h, w]
    layer: str
    seconds: float
    effects: dict[str, float] = field(default_factory=dict)  # those that were measured, see effects.py


@dataclass(frozen=True, slots=True)
class ExplainedDetection:
    """A detection and its maps."""

    number: int  # rank by score, from 1
    class_name: str
    score: float
    box: Rectangle  # x1 y1 x2 y2
    mask: NDArray[np.bool_] | None  # [h, w]
    colour: Colour
    maps: dict[str, FileMap]  # by method

    @property
    def text(self) -> str:
        return f"#{self.number} {self.class_name} {self.score:.2f}"


@dataclass(frozen=True, slots=True)
class ExplainedImage:
    """An image and its detections."""

    name: str
    pixels: NDArray[np.uint8]  # [h, w, 3] RGB
    detections: list[ExplainedDetection]
    target: str
    proposal_policy: str
    d_rise: str  # variant, number of masks and grid; empty without D-RISE
    max_score: float = 0.0  # of all detections of the image, those that are not explained included

    def to_dict(self) -> dict[str, object]:
        """Return all but pixels and maps, for JSON."""
        return {
            "image": self.name,
            "target": self.target,
            "proposal_policy": self.proposal_policy,
            **({"d_rise": self.d_rise} if self.d_rise else {}),
            "detections": [_describe(detection, self.detections) for detection in self.detections],
        }


def fill_box(box: Rectangle, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return a mask (height, width) of the pixels whose centres lie in a box."""
    x1, y1, x2, y2 = box
    rows, columns = np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5
    return ((rows >= y1) & (rows < y2))[:, None] & ((columns >= x1) & (columns < x2))


def describe_methods(
    detection: ExplainedDetection, all_detections: Sequence[ExplainedDetection]
) -> dict[str, dict[str, Any]]:
    """Return the measures of each map; discrimination (ODI) is from the other explained detections of the image."""
    methods = {}
    for name, heatmap in detection.maps.items():
        size = heatmap.values.shape[:2]
        regions = {"box": fill_box(detection.box, size)}
        if detection.mask is not None:
            regions["mask"] = detection.mask
        own = regions.get("mask", regions["box"])
        others = [fill_box(other.box, size) if other.mask is None else other.mask
                  for other in all_detections if other is not detection]  # fmt: skip
        methods[name] = {
            "layer": heatmap.layer,
            "seconds": round(heatmap.seconds, 3),
            **{f"energy_in_{region}": measure_energy(heatmap.values, mask) for region, mask in regions.items()},
            **{f"points_into_{region}": points_inside(heatmap.values, mask) for region, mask in regions.items()},
            **({"odi": measure_discrimination(heatmap.values, own, others)} if others else {}),
            **heatmap.effects,
        }
    return methods


def _describe(detection: ExplainedDetection, all_detections: Sequence[ExplainedDetection]) -> dict[str, object]:
    return {
        "number": detection.number,
        "class": detection.class_name,
        "score": round(detection.score, 4),
        "box": [round(value, 2) for value in detection.box],
        "methods": describe_methods(detection, all_detections),
    }
