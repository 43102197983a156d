"""A detector in given boxes: how good its other heads are where boxes are right.

With `proposals=truth` the boxes are those of the annotations, and what is left of the error of keypoints or masks is
not that of detection. Classes and scores stay those of the box head. A CenterNet has true_maps.py for that.
"""

from __future__ import annotations

from torch import nn

from lineage.models.detectors.centernet import CenterNet
from lineage.models.detectors.rcnn import RCNN
from lineage.models.detectors.truncated_svd import zero_box_deltas
from lineage.models.proposals.precomputed import PrecomputedProposals


class NoProposals(ValueError):
    """A model that takes no boxes, so that none can be given to it."""


def detect_in_given_boxes(model: nn.Module) -> None:
    """Replace the proposals of a model by those that come with the images, and switch box regression off.

    Raises NoProposals for a model that has none.
    """
    if isinstance(model, CenterNet):
        raise NoProposals("edit=true_boxes: CenterNet takes no boxes; its boxes are true by tta=oracle_all, true maps")
    if not isinstance(model, RCNN):
        raise NoProposals(f"edit=true_boxes: {type(model).__name__} takes no boxes; choose a model with proposals")
    model.proposals = PrecomputedProposals(0)
    zero_box_deltas(model)
