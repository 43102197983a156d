"""Effects of the pixels that a map names on a detection's score: measures of a map that need further detections.

removal      deletion, insertion: areas under the detector's score (deletion.py), 22 detections per map
road         road: the score's difference after removal of the least and of the most relevant pixels (road.py), 18
sensitivity  sensitivity_n: correlation of a subset's values with the scalar's loss without it (sensitivity.py), 100
             runs of the class path
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from torch import Tensor

from lineage.explain.deletion import area_under_curve, score_of_detection, trace_deletion, trace_insertion
from lineage.explain.detectors import RegionDetector
from lineage.explain.methods import Heatmap
from lineage.explain.road import measure_road
from lineage.explain.sensitivity import measure_sensitivity
from lineage.explain.targets import DetectionOutput
from lineage.structures import Detections, Images

REMOVAL, ROAD, SENSITIVITY = EFFECTS = ("removal", "road", "sensitivity")
STEPS = 10  # of deletion and insertion


class EffectsOfDetection:
    """Effects on one detection of an image; areas and differences are shares of its score."""

    def __init__(
        self, detector: RegionDetector, images: Images, detections: Detections, slot: int, output: DetectionOutput
    ):
        """Prepare: slot: of the detection. output: the scalar that the maps explain."""
        self.output = output
        self.score = score_of_detection(detector.detect_boxes, images, detections, slot)
        self.whole = float(detections.scores[0, slot])
        width, height = (detections.boxes[0, slot, 2:] - detections.boxes[0, slot, :2]).tolist()
        self.area = max(STEPS, round(width * height))

    def measure(self, heatmap: Heatmap, names: Collection[str]) -> dict[str, float]:
        """Return the measures of a map; names: of EFFECTS."""
        effects: dict[str, float] = {}
        if REMOVAL in names:
            effects |= self._measure_areas(heatmap.values)
        if ROAD in names:
            height, width = (round(side) for side in self.output.size)
            content = heatmap.values[:height, :width]
            effects["road"] = measure_road(self.score, self.output.pixels, content, self.output.std) / self.whole
        if SENSITIVITY in names:
            effects["sensitivity_n"] = measure_sensitivity(self.output, heatmap.signed)
        return effects

    def _measure_areas(self, values: Tensor) -> dict[str, float]:
        """Return the areas under the score while as many pixels as the box has go, or come back (ODAM's form)."""
        traces = {"deletion": trace_deletion, "insertion": trace_insertion}
        curves: dict[str, Sequence[float]] = {
            name: trace(self.score, self.output.pixels, self.output.baseline, values, count=self.area, steps=STEPS)
            for name, trace in traces.items()
        }
        return {name: area_under_curve(curve) / self.whole for name, curve in curves.items()}
