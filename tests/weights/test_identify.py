"""Every published layout is recognised, used to the last tensor, and written back bit by bit."""

from __future__ import annotations

from math import prod

import pytest
import torch
import torchvision
from torch import Tensor, nn

from lineage.weights.identify import OURS, TABLES, identify
from lineage.weights.infer_overrides import infer_overrides
from lineage.weights.sources import torchvision as names
from lineage.weights.sources import torchvision_variants
from lineage.weights.sources.table import NameTable, to_theirs
from lineage.weights.state_dict import match_state
from tests.models.compose import build
from tests.weights import published

CLASSES = 5
PAPER = ("tier=paper", "backbone.weights=later", f"dataset.classes={CLASSES}")
FPN = "backbone.bottom_up."
WIDTHS = (256, 512, 1024, 2048)
CASCADE = (".0", ".1", ".2")
X_4GF, Y_4GF = [80, 240, 560, 1360], [128, 192, 512, 1088]
D2 = {
    "model=rpn backbone=resnet50": published.d2_resnet(FPN, 50) | published.d2_fpn() | published.d2_rpn(256, 3),
    "model=rpn_c4 backbone=resnet50": published.d2_resnet("backbone.", 50, 3) | published.d2_rpn(1024, 15),
    "model=rpn_c5 backbone=resnet50": published.d2_resnet("backbone.", 50) | published.d2_rpn(2048, 15),
    "model=fast_rcnn_fpn backbone=resnet50": published.d2_resnet(FPN, 50)
    | published.d2_fpn()
    | published.d2_box(CLASSES),
    "model=fast_rcnn_c4 backbone=resnet50": published.d2_c4(50, CLASSES, proposals=False, masks=False),
    "model=fast_rcnn_c5 backbone=resnet50": published.d2_c5(CLASSES, proposals=False),
    "model=faster_rcnn backbone=resnet50": published.d2_faster_fpn(50, CLASSES),
    "model=faster_rcnn backbone=resnet101": published.d2_faster_fpn(101, CLASSES),
    "model=faster_rcnn backbone=resnext101_32x8d": published.d2_faster_fpn(101, CLASSES, 32, 8),
    "model=faster_rcnn backbone=resnext101_64x4d": published.d2_faster_fpn(101, CLASSES, 64, 4),
    "model=faster_rcnn_c4 backbone=resnet50": published.d2_c4(50, CLASSES, masks=False),
    "model=faster_rcnn_dc5 backbone=resnet50": published.d2_c5(CLASSES),
    "model=mask_rcnn backbone=resnet101": published.d2_faster_fpn(101, CLASSES) | published.d2_mask(CLASSES),
    "model=mask_rcnn backbone=resnext101_32x8d": published.d2_faster_fpn(101, CLASSES, 32, 8)
    | published.d2_mask(CLASSES),
    "model=mask_rcnn backbone=resnext101_64x4d": published.d2_faster_fpn(101, CLASSES, 64, 4)
    | published.d2_mask(CLASSES),
    "model=mask_rcnn backbone=resnext152_32x8d": published.d2_faster_fpn(152, CLASSES, 32, 8)
    | published.d2_mask(CLASSES),
    "model=mask_rcnn backbone=regnetx_4gf": published.d2_regnet(FPN, [2, 5, 14, 2], X_4GF, 40, squeezed=False)
    | published.d2_fpn(widths=X_4GF)
    | published.d2_rpn(256, 3)
    | published.d2_box(CLASSES)
    | published.d2_mask(CLASSES),
    "model=mask_rcnn_given backbone=resnet50": published.d2_resnet(FPN, 50)
    | published.d2_fpn()
    | published.d2_box(CLASSES)
    | published.d2_mask(CLASSES),
    "model=mask_rcnn_c4 backbone=resnet50": published.d2_c4(50, CLASSES),
    "model=mask_rcnn_dc5 backbone=resnet50": published.d2_c5(CLASSES, masks=True),
    "model=mask_rcnn_gn backbone=resnet50": published.without_statistics(published.d2_resnet(FPN, 50))
    | published.d2_rpn(256, 3)
    | published.d2_norms(WIDTHS, CLASSES, 4),
    "model=mask_rcnn_v2 backbone=resnet50": published.d2_resnet(FPN, 50) | published.d2_new_baseline(WIDTHS, CLASSES),
    "model=mask_rcnn_v2 backbone=regnety_4gf": published.d2_regnet(FPN, [2, 6, 12, 2], Y_4GF, 64, squeezed=True)
    | published.d2_new_baseline(Y_4GF, CLASSES),
    "model=keypoint_rcnn backbone=resnet50": published.d2_faster_fpn(50, CLASSES) | published.d2_keypoint(),
    "model=keypoint_rcnn backbone=resnet101": published.d2_faster_fpn(101, CLASSES) | published.d2_keypoint(),
    "model=mask_keypoint_rcnn backbone=resnet50": published.d2_faster_fpn(50, CLASSES)
    | published.d2_mask(CLASSES)
    | published.d2_keypoint(),
    "model=retinanet backbone=resnet50": published.d2_retinanet(CLASSES),
    "model=retinanet backbone=resnet101": published.d2_retinanet(CLASSES, 101),
    "model=cascade_rcnn backbone=resnet50": published.d2_cascade(CLASSES),
    "model=cascade_rcnn backbone=resnet101": published.d2_cascade(CLASSES, 101),
    "model=cascade_mask_rcnn backbone=resnet50": published.d2_cascade(CLASSES) | published.d2_mask(CLASSES),
    "model=cascade_mask_rcnn_gn backbone=resnet50": published.d2_resnet(FPN, 50)
    | published.d2_rpn(256, 3)
    | published.d2_norms(WIDTHS, CLASSES, 8, CASCADE),
    "model=panoptic_fpn backbone=resnet50": published.d2_faster_fpn(50, CLASSES)
    | published.d2_mask(CLASSES)
    | published.d2_panoptic(54),
    "model=cascade_panoptic_fpn backbone=resnet101": published.without_statistics(
        published.deformable(published.d2_resnet(FPN, 101))
    )
    | published.d2_rpn(256, 3)
    | published.d2_normed_pyramid(WIDTHS)
    | published.d2_boxes(CLASSES, CASCADE)
    | published.d2_normed_mask(CLASSES, 4)
    | published.d2_panoptic(54),
    "model=mask_rcnn_v2 backbone=resnet50 ": published.d2_resnet(FPN, 50)  # SyncBN 3x
    | published.d2_rpn(256, 3)
    | published.d2_norms(WIDTHS, CLASSES, 4, leaves=published.BATCH),
    "model=mask_rcnn backbone=resnet50": published.deformable(published.d2_faster_fpn(50, CLASSES))
    | published.d2_mask(CLASSES),
    "model=mask_rcnn backbone=resnet50 ": published.d2_resnet(FPN, 50)  # class-agnostic
    | published.d2_fpn()
    | published.d2_rpn(256, 3)
    | published.d2_box(CLASSES, agnostic=True)
    | published.d2_mask(1),
    "model=pointrend backbone=resnet50": published.d2_faster_fpn(50, CLASSES) | published.d2_pointrend(CLASSES),
}
OPTIONS = {  # of these networks, beside model and backbone
    "model=mask_rcnn_gn backbone=resnet50": ["backbone.norm=gn32"],
    "model=cascade_panoptic_fpn backbone=resnet101": ["backbone.norm=gn32", "backbone.deform=[3,4,5]"],
    "model=mask_rcnn_v2 backbone=resnet50 ": ["model.proposals.depth=1"],
    "model=mask_rcnn backbone=resnet50": ["backbone.deform=[3,4,5]"],
    "model=mask_rcnn backbone=resnet50 ": ["model.box.class_agnostic=true", "model.heads.mask.class_agnostic=true"],
}
LARGE = 65e6  # numbers


def meta(*overrides: str) -> nn.Module:
    with torch.device("meta"):
        return build(*PAPER, *overrides)


def assert_all_used(model: nn.Module, state: dict[str, Tensor]) -> None:
    found = match_state(model, state)
    assert not found.mismatched
    assert not found.unexpected
    absent = [name for name in found.missing if not name.startswith("heads.mask.body.stage.")]  # shares box's stage
    assert not absent


def numbers(shapes: published.Shapes) -> int:
    return sum(prod(shape) for shape in shapes.values())


@pytest.mark.parametrize(
    "model", [pytest.param(one, marks=pytest.mark.slow if numbers(D2[one]) > LARGE else ()) for one in D2]
)
def test_detectron2(model: str) -> None:
    state = published.filled(D2[model])
    given = identify(state)
    assert given.source.startswith("detectron2")
    assert not given.unknown
    assert len(given.state) >= len(state)
    choices = model.split()
    count = [] if choices[0].startswith("model=rpn") else [f"dataset.classes={CLASSES}"]
    assert infer_overrides(given.state) == [*choices, *count, *OPTIONS.get(model, ())]
    assert_all_used(meta(*choices, *OPTIONS.get(model, ())), given.state)
    assert_written_back(next(table for table in TABLES if table.source == given.source), given.state, state)


def assert_written_back(table: NameTable, ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    again, unknown = to_theirs(table, ours)
    assert not unknown
    assert again.keys() == theirs.keys()
    assert all(torch.equal(again[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("depth", [50, 101])
def test_detectron(depth: int) -> None:
    blobs = published.filled(published.c2_mask_fpn(depth, CLASSES))
    extra = {f"{name}_momentum": value for name, value in blobs.items()} | {"conv1_b": torch.zeros(64)}
    given = identify(blobs | extra)
    assert given.source == "Detectron"
    assert not given.unknown
    assert infer_overrides(given.state) == ["model=mask_rcnn", f"backbone=resnet{depth}", f"dataset.classes={CLASSES}"]
    assert_all_used(meta("model=mask_rcnn", f"backbone=resnet{depth}"), given.state)


def test_detectron_puts_background_first_and_blue_first() -> None:
    blobs = published.filled(published.c2_mask_fpn(50, CLASSES))
    ours = identify(blobs).state
    assert torch.equal(ours["box.scores.weight"][-1], blobs["cls_score_w"][0])
    assert torch.equal(ours["box.scores.weight"][0], blobs["cls_score_w"][1])
    assert torch.equal(ours["box.deltas.bias"], blobs["bbox_pred_b"][4:])
    assert torch.equal(ours["heads.mask.masks.bias"], blobs["mask_fcn_logits_b"][1:])
    assert torch.equal(ours["backbone.stem.0.weight"][:, 0], blobs["conv1_w"][:, 2])


def test_a_folded_norm_multiplies_and_adds() -> None:
    blobs = published.filled(published.c2_resnet(50))
    model = build("model=faster_rcnn", *PAPER)
    model.load_state_dict(identify(blobs).state, strict=False)
    x = torch.randn(1, 256, 2, 2)
    scale, shift = blobs["res2_0_branch1_bn_s"], blobs["res2_0_branch1_bn_b"]
    norm = model.backbone.stages[0][0].downsample[1]
    torch.testing.assert_close(norm(x), x * scale[:, None, None] + shift[:, None, None], atol=1e-6, rtol=1e-6)


def test_d2_anchors_are_counted_scale_by_scale() -> None:
    """Each row of a C4 head predicts one anchor; the row for 64 pixels at ratio 2 must stay the row of that anchor."""
    theirs = [(size, ratio) for size in (32, 64, 128, 256, 512) for ratio in (0.5, 1.0, 2.0)]
    ours = [(size, ratio) for ratio in (0.5, 1.0, 2.0) for size in (32, 64, 128, 256, 512)]
    rows = torch.tensor([float(size * ratio) for size, ratio in theirs])
    state = published.filled(published.d2_c4(50, CLASSES))
    state["proposal_generator.rpn_head.objectness_logits.bias"] = rows
    state["proposal_generator.rpn_head.anchor_deltas.bias"] = rows.repeat_interleave(4)
    found = identify(state).state
    wanted = torch.tensor([float(size * ratio) for size, ratio in ours])
    assert torch.equal(found["proposals.objectness.bias"], wanted)
    assert torch.equal(found["proposals.deltas.bias"], wanted.repeat_interleave(4))


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("fasterrcnn_resnet50_fpn", "faster_rcnn"),
        ("maskrcnn_resnet50_fpn", "mask_rcnn"),
        ("keypointrcnn_resnet50_fpn", "keypoint_rcnn"),
        ("retinanet_resnet50_fpn", "retinanet"),
    ],
)
def test_torchvision(name: str, model: str) -> None:
    theirs = torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=CLASSES + 1)
    state = theirs.state_dict()
    given = identify(state)
    table = next(table for table in TABLES if table.source == given.source)
    assert table in (names.DETECTION, torchvision_variants.RETINANET)
    assert not given.unknown
    assert infer_overrides(given.state)[:2] == [f"model={model}", "backbone=resnet50"]
    source = ("model.neck.top_block.source=P5",) if model == "retinanet" else ()
    assert_all_used(meta(f"model={model}", *source), given.state)
    again, unknown = to_theirs(table, given.state)
    assert not unknown
    assert theirs.load_state_dict(again)  # strict: names and shapes are torchvision's
    ours, _ = identify(again).state, None
    assert all(torch.equal(ours[name], value) for name, value in given.state.items())
    kept = [name for name in state if "cls_logits" not in name or "rpn" in name]
    without_codes = [name for name in kept if "bbox_pred" not in name and "mask_fcn_logits" not in name]
    assert all(torch.equal(again[name], state[name]) for name in without_codes)


@pytest.mark.parametrize(
    ("model", "body"),
    [
        ("faster_rcnn_v2", ["backbone=resnet50"]),
        ("mask_rcnn_v2", ["backbone=resnet50"]),
        ("mask_rcnn_gn", ["backbone=resnet50"]),
        ("cascade_mask_rcnn_gn", ["backbone=resnet50"]),
        ("faster_rcnn_mobilenet", []),
        ("panoptic_fpn", ["backbone=resnet50"]),
        ("pointrend", ["backbone=resnet50"]),
        ("faster_rcnn_dc5", ["backbone=resnet50"]),
    ],
)
def test_our_own_weights_name_their_model(model: str, body: list[str]) -> None:
    assert infer_overrides(meta(f"model={model}").state_dict()) == [
        f"model={model}",
        *body,
        f"dataset.classes={CLASSES}",
    ]


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet152", "resnext101_32x8d"])
def test_classifiers_name_their_backbone(name: str) -> None:
    with torch.device("meta"):
        state = torchvision.models.get_model(name, weights=None).state_dict()
    assert infer_overrides(identify(state).state) == [f"backbone={name}"]


def test_names_of_transformers() -> None:
    body = published.d2_resnet("", 50)
    leaves = {"shortcut": "shortcut", "conv1": "layer.0", "conv2": "layer.1", "conv3": "layer.2"}
    renamed = {}
    for name, shape in body.items():
        parts = name.split(".")
        kind = "normalization" if "norm" in parts else "convolution"
        if parts[0] == "stem":
            renamed[f"resnet.embedder.embedder.{kind}.{parts[-1]}"] = shape
        else:
            stage = f"resnet.encoder.stages.{int(parts[0][3]) - 2}.layers.{parts[1]}"
            renamed[f"{stage}.{leaves[parts[2]]}.{kind}.{parts[-1]}"] = shape
    given = identify(published.filled(renamed))
    assert given.source == "transformers"
    assert not given.unknown
    direct = identify(published.filled(body)).state
    assert given.state.keys() == direct.keys()


def test_our_own_weights_are_taken_as_they_are() -> None:
    state = {name: torch.zeros(value.shape) for name, value in meta("model=mask_rcnn").state_dict().items()}
    for given in (identify(state), identify({f"model.{name}": value for name, value in state.items()})):
        assert given.source == OURS
        assert given.state.keys() == state.keys()


def test_no_stem_is_listed_twice_with_two_meanings() -> None:
    for table in TABLES:
        theirs: dict[str, set[str]] = {}
        for name, ours in table.stems:
            theirs.setdefault(name, set()).add(ours.replace("heads.mask.body.stage", "box.body.stage"))
        assert not {name: found for name, found in theirs.items() if len(found) > 1}, table.source
