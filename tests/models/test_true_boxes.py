"""True boxes in place of detected ones: they reach the heads as they are, and other models refuse them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from lineage.config.compose import compose_config
from lineage.data.proposals.jittered import JitteredProposals
from lineage.data.shapes.garments import Garments
from lineage.models.detectors.true_boxes import NoProposals, detect_in_given_boxes
from lineage.ops import boxes as box_ops
from tests.models.compose import build
from tests.models.test_classic import scene


def test_detections_are_the_boxes_that_come_with_the_images() -> None:
    torch.manual_seed(0)
    model = build("model=keypoint_rcnn", "model.box.score_thresh=0.0").eval()
    nn.init.normal_(model.box.deltas.weight)
    images, _ = scene([2])
    detect_in_given_boxes(model)
    with torch.no_grad():
        detections = model.detect(images)
    assert images.proposals is not None
    assert detections.valid.any()
    boxes = box_ops.take(images.proposals.boxes, detections.proposal_index)
    torch.testing.assert_close(detections.boxes[detections.valid], boxes[detections.valid], atol=1e-4, rtol=0)
    assert detections.keypoints is not None


def test_a_model_without_proposals_is_refused() -> None:
    with pytest.raises(NoProposals, match="RetinaNet takes no boxes"):
        detect_in_given_boxes(build("model=retinanet"))


def test_a_center_net_is_told_of_true_maps() -> None:
    with pytest.raises(NoProposals, match="tta=oracle_all"):
        detect_in_given_boxes(build("model=centernet"))


def test_the_boxes_of_the_option_are_those_of_the_annotations() -> None:
    """Each once, whole, and nothing beside them."""
    settings = compose_config(["proposals=truth"]).proposals
    dataset = Garments(seed=5, length=4)
    names = ("copies", "random", "shift", "recall")
    source = JitteredProposals(dataset, **{name: settings[name] for name in names})
    for index in range(4):
        boxes, expected = source(dataset[index]), dataset[index].boxes.numpy()
        assert sorted(map(tuple, np.asarray(boxes).tolist())) == sorted(map(tuple, expected.tolist()))
