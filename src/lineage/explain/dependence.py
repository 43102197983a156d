"""Dependence of a map on the class and on what was learned: correlations with maps of another class or random weights.

Sanity checks: arXiv:1810.03292. A map that explains a class differs from that of another class, and one that explains a
network differs from that of a network with a random head; by the authors' erratum guided backpropagation fails the
latter, and passes only where the body is random as well.

Correlations are over the pixels of the detection's box, of maps before the ReLU that ends a CAM. All maps of a region
are small far from it, and those of ODAM are 0 there, whatever the class: over the whole image any two would be alike.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lineage.explain.detectors import Region, RegionDetector, adapt_detector
from lineage.explain.explained_image import fill_box
from lineage.explain.methods import explain
from lineage.explain.randomization import cascade, randomize_layers, rank_correlation
from lineage.explain.targets import DetectionOutput, class_logit
from lineage.structures import Images


class Dependence:
    """Correlations of a method's maps, of a detector and of its copies with random weights."""

    def __init__(self, detector: RegionDetector, method: str, seed: int = 0):
        self.detector, self.method = detector, method
        self.random = {
            step: adapt_detector(randomize_layers(detector.model, seed=seed, names=names))
            for step, names in cascade(detector.model).items()
        }

    def measure(self, images: Images, region: Region) -> dict[str, float]:
        """Return Spearman's correlation of the map of a detection with others in its box, -1 to 1.

        class: with that of the same region's second class. head, neck, upper_body, model: with that of the same region
        and class, with random weights from the top down to there. See cascade.
        """
        own = self._explain(self.detector, images, region)
        other = region._replace(label=find_second_class(self.detector, images, region))
        maps = {"class": self._explain(self.detector, images, other)}
        maps |= {step: self._explain(detector, images, region) for step, detector in self.random.items()}
        return {name: correlate_in_box(own, values, region.detection[0, 0]) for name, values in maps.items()}

    def _explain(self, detector: RegionDetector, images: Images, region: Region) -> Tensor:
        output = DetectionOutput(detector, images, region, class_logit)
        return explain(output, [self.method])[self.method].signed


def correlate_in_box(a: Tensor, b: Tensor, box: Tensor) -> float:
    """Return Spearman's correlation of two maps [H, W] over the pixels of a box [4] where one of them is not 0.

    0 if no such pixel is left: maps without a value have nothing in common.
    """
    x1, y1, x2, y2 = box.tolist()
    height, width = a.shape
    pixels = torch.from_numpy(fill_box((x1, y1, x2, y2), (height, width))) & ((a != 0) | (b != 0))
    return rank_correlation(a[pixels], b[pixels])


@torch.no_grad()
def find_second_class(detector: RegionDetector, images: Images, region: Region) -> int:
    """Return the class with the largest logit beside the detection's own; background is none."""
    logits = detector.predict(detector.features(images), region).logits[: detector.num_classes].clone()
    logits[region.label] = -torch.inf
    return int(logits.argmax())
