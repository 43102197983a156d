"""Dependence of a map on the class and on what was learned: correlations with maps of another class or random weights.

Sanity checks: arXiv:1810.03292. A map that explains a class differs from that of another class, and one that explains a
network differs from that of a network with a random head; by the authors' erratum guided backpropagation fails the
latter, and passes only where the body is random as well.
"""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

from lineage.explain.detectors import Detector, Region, adapt_detector
from lineage.explain.methods import explain
from lineage.explain.randomization import randomize_layers, rank_correlation
from lineage.explain.targets import DetectionOutput, class_logit
from lineage.structures import Images

PARTS = ("box", "head")  # what predicts classes: the box head of an R-CNN, the head of a RetinaNet


class Dependence:
    """Correlations of a method's maps, of a detector and two copies of it with random weights."""

    def __init__(self, detector: Detector, method: str, seed: int = 0):
        self.detector, self.method = detector, method
        self.random_head = adapt_detector(randomize_head(detector.model, seed))
        self.random_model = adapt_detector(randomize_layers(detector.model, seed=seed))

    def measure(self, images: Images, region: Region) -> dict[str, float]:
        """Return Spearman's correlation of the map of a detection with three others, -1 to 1.

        class: of the same region's second class. head, model: of the same region and class, with random weights in the
        head that predicts classes, and in all layers.
        """
        own = self._explain(self.detector, images, region)
        other = region._replace(label=find_second_class(self.detector, images, region))
        return {
            "class": rank_correlation(own, self._explain(self.detector, images, other)),
            "head": rank_correlation(own, self._explain(self.random_head, images, region)),
            "model": rank_correlation(own, self._explain(self.random_model, images, region)),
        }

    def _explain(self, detector: Detector, images: Images, region: Region) -> Tensor:
        output = DetectionOutput(detector, images, region, class_logit)
        return explain(output, [self.method])[self.method].values.detach()


@torch.no_grad()
def find_second_class(detector: Detector, images: Images, region: Region) -> int:
    """Return the class with the largest logit beside the detection's own; background is none."""
    logits = detector.predict(detector.features(images), region).logits[: detector.num_classes].clone()
    logits[region.label] = -torch.inf
    return int(logits.argmax())


def randomize_head(model: nn.Module, seed: int) -> nn.Module:
    """Return a copy with random weights in the part that predicts classes."""
    copy = deepcopy(model)
    name = next(name for name in PARTS if hasattr(copy, name))
    setattr(copy, name, randomize_layers(getattr(copy, name), seed=seed))
    return copy
