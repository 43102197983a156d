"""Tensor layouts against what the other code base computes with them, and there and back."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lineage.weights.identify import TABLES, identify
from lineage.weights.sources.table import Layout

LAYOUTS = [(table.source, name, layout) for table in TABLES for name, layout in table.layouts.items()]
CHANNELS, ANCHORS = 16, 9


SHAPES = {  # a weight: 5 classes and background, 9 anchors, 16 channels
    "backbone.": (8, 3, 7, 7),
    "proposals.objectness": (ANCHORS, CHANNELS, 1, 1),
    "proposals.deltas": (4 * ANCHORS, CHANNELS, 1, 1),
    "head.scores": (5 * ANCHORS, CHANNELS, 3, 3),
    "head.deltas": (4 * ANCHORS, CHANNELS, 3, 3),
    "box.": (24, CHANNELS),
    "heads.": (6, CHANNELS),
    "neck.": (CHANNELS, CHANNELS, 3, 3),
}


@pytest.mark.parametrize(("source", "name", "layout"), LAYOUTS, ids=[f"{row[0]}-{row[1]}" for row in LAYOUTS])
def test_there_and_back_is_where_it_was(source: str, name: str, layout: Layout) -> None:
    shape = next(shape for beginning, shape in SHAPES.items() if name.startswith(beginning))
    ours = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    theirs = layout.to_theirs(ours)
    torch.testing.assert_close(layout.to_ours(theirs), ours, atol=0, rtol=1e-6)
    assert theirs.shape != ours.shape or not torch.equal(theirs, ours), f"{source}: {name} is laid out alike"


def caffe() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    shapes = {
        "conv1_1": (8, 3, 3, 3), "rpn_conv/3x3": (CHANNELS, CHANNELS, 3, 3),
        "rpn_cls_score": (2 * ANCHORS, CHANNELS, 1, 1), "rpn_bbox_pred": (4 * ANCHORS, CHANNELS, 1, 1),
        "fc6": (32, CHANNELS * 49), "fc7": (32, 32), "cls_score": (6, 32), "bbox_pred": (24, 32),
    }  # fmt: skip
    state = {f"{name}.weight": torch.randn(size, generator=generator) for name, size in shapes.items()}
    return state | {f"{name}.bias": torch.randn(size[0], generator=generator) for name, size in shapes.items()}


def test_a_softmax_over_two_classes_becomes_a_sigmoid() -> None:
    """Caffe reshapes [2 A, H, W] to [2, A H, W] before its softmax: the first A rows are background."""
    theirs = caffe()
    converted = identify(theirs)
    assert converted.source == "Caffe"
    x = torch.randn(1, CHANNELS, 5, 7, generator=torch.Generator().manual_seed(2))
    scores = torch.conv2d(x, theirs["rpn_cls_score.weight"], theirs["rpn_cls_score.bias"])
    foreground = scores.reshape(1, 2, ANCHORS * 5, 7).softmax(1)[0, 1].reshape(ANCHORS, 5, 7)
    ours = converted.state
    logits = torch.conv2d(x, ours["proposals.objectness.weight"], ours["proposals.objectness.bias"])
    torch.testing.assert_close(logits[0].sigmoid(), foreground)


def test_box_deltas_of_caffe_are_in_units_of_the_region() -> None:
    """Ours are multiplied by (10, 10, 5, 5), theirs were divided by it when the snapshot was written."""
    theirs = caffe()
    ours = identify(theirs).state["box.deltas.weight"]
    torch.testing.assert_close(ours[2], theirs["bbox_pred.weight"][6] * 5.0)  # dw of class 0, background's row is first
    torch.testing.assert_close(ours[5], theirs["bbox_pred.weight"][9] * 10.0)  # dy of class 1
    assert torch.equal(identify(theirs).state["box.scores.bias"][-1:], theirs["cls_score.bias"][:1])


def test_every_side_of_caffe_s_box_deltas_has_its_deviation() -> None:
    """Of (0.1, 0.1, 0.2, 0.2): ours are theirs divided by it, and theirs are back on export, zeros for background."""
    layout = next(layout for source, name, layout in LAYOUTS if (source, name) == ("Caffe", "box.deltas"))
    ours = layout.to_ours(torch.ones(12, 2))
    assert ours.tolist() == [[10, 10], [10, 10], [5, 5], [5, 5]] * 2
    assert layout.to_theirs(ours).tolist() == [[0, 0]] * 4 + [[1, 1]] * 8
