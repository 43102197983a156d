"""Caffe's names: the ImageNet classifiers (CaffeNet, VGG, ZF) and the detectors of Fast and Faster R-CNN.

Our plain networks carry the layer names of the prototxt, and read pixels blue first with backbone.channel_order=bgr,
so only heads differ: background first, box deltas in units of the region, proposals scored by a softmax over two
classes. Published snapshots of detectors hold box deltas with the targets' deviations already multiplied in.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lineage.weights.sources.layout import BACKGROUND_FIRST, TWO_CLASSES
from lineage.weights.sources.table import CAFFE, Layout, NameTable, SourceConventions

DELTA_WEIGHTS = (10.0, 10.0, 5.0, 5.0)  # factors of our box deltas: 1 / the deviations of Faster R-CNN's targets


def _scale(rows: Tensor) -> Tensor:
    weights = rows.new_tensor(DELTA_WEIGHTS).repeat(len(rows) // 4)
    return weights.view(-1, *[1] * (rows.dim() - 1))


UNIT_DELTAS = Layout(
    f"background's box deltas are left out; theirs are in units of the region, ours times {DELTA_WEIGHTS}",
    lambda rows: rows[4:] * _scale(rows[4:]),
    lambda rows: _prepend_background(rows / _scale(rows)),
)


def _prepend_background(rows: Tensor) -> Tensor:
    return torch.cat((rows.new_zeros(4, *rows.shape[1:]), rows))


CONVOLUTIONS = (
    *(f"conv{number}" for number in range(1, 6)),
    *(f"conv{block}_{number}" for block in range(1, 6) for number in range(1, 4)),
)
TABLE = NameTable(
    "Caffe",
    (
        *((name, f"backbone.trunk.{name}") for name in CONVOLUTIONS),
        ("fc6", "box.body.fc6"),
        ("fc7", "box.body.fc7"),
        ("cls_score", "box.scores"),
        ("bbox_pred", "box.deltas"),
        ("rpn_conv/3x3", "proposals.convolution"),
        ("rpn_cls_score", "proposals.objectness"),
        ("rpn_bbox_pred", "proposals.deltas"),
    ),
    layouts={"box.scores": BACKGROUND_FIRST, "box.deltas": UNIT_DELTAS, "proposals.objectness": TWO_CLASSES},
    leaves={
        ".weight": ".weight", ".bias": ".bias", ".weights": ".weight", ".biases": ".bias", "_w": ".weight",
        "_b": ".bias", ".0": ".weight", ".1": ".bias",
    },
    ignored=("fc8*", "loss*"),
    conventions=SourceConventions(CAFFE, ("backbone.channel_order=bgr",)),
)  # fmt: skip
