"""Cascades: against single heads, against torchvision's box code, and what each option of the tables does."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.detection._utils import BoxCoder

from lineage.models.roi_heads.cascade import CascadeBoxHead
from lineage.structures import Detections, Images, Proposals, SampledProposals, Targets
from tests.models.compose import build, config
from tests.models.scenes import batch
from tests.models.test_rcnn import total

SIZE = (128, 128)

RESAMPLE = {"batch_size_per_image": 8, "positive_fraction": 0.25, "proposal_append_gt": True}


def model(*overrides: str, name: str = "cascade_rcnn") -> nn.Module:
    """Random, with heads that decide and move."""
    torch.manual_seed(0)
    made = build(f"model={name}", *overrides)
    with torch.no_grad():
        for part in made.modules():
            if isinstance(getattr(part, "deltas", None), nn.Linear):
                part.deltas.weight.mul_(300)
                part.scores.weight.mul_(20)
    return made


def scene(counts: tuple[int, ...] = (3, 2)) -> tuple[Images, Targets]:
    return batch([SIZE] * len(counts), list(counts), 4, canvas=SIZE)


def regions(made: nn.Module, images: Images) -> tuple[list[Tensor], Proposals]:
    features = made.neck(made.backbone(images))
    return features, made.proposals.propose(images, features)


def single(made: nn.Module) -> SampledProposals:
    """Proposals beside their objects, labelled at IoU 0.5."""
    images, targets = scene()
    features = made.neck(made.backbone(images))
    proposals, _ = made.proposals.losses(images, features, targets)
    return made.sampler(proposals, targets, images, made.box.num_classes)


@torch.no_grad()
def test_three_stages_equal_three_heads_by_hand() -> None:
    made = model(
        "model.box.nms_thresh=1.0",
        "model.box.score_thresh=-1",
        "model.box.topk_candidates=400",
        "model.box.detections_per_img=400",
    )
    images, _ = scene((1,))
    features, rois = regions(made, images)
    boxes, scores = rois.boxes[0], []
    for i, head in enumerate(made.box.stages):
        logits, deltas = head.predict(features, boxes[None])
        scores.append(logits[0].softmax(-1))
        coder = BoxCoder(((10.0, 10.0, 5.0, 5.0), (20.0, 20.0, 10.0, 10.0), (30.0, 30.0, 15.0, 15.0))[i])
        moved = coder.decode(deltas[0, :, 0], [boxes])[:, 0]
        boxes = torchvision.ops.clip_boxes_to_image(moved, SIZE)
    found = made.box.detect(features, rois, images)
    mean, shown = torch.stack(scores).mean(0), found.valid[0]
    assert shown.sum() > 100
    torch.testing.assert_close(found.boxes[0][shown], boxes[found.proposal_index[0]][shown], atol=1e-3, rtol=1e-4)
    picked = mean[found.proposal_index[0], found.labels[0]]
    torch.testing.assert_close(found.scores[0][shown], picked[shown], atol=1e-5, rtol=1e-4)


def test_one_stage_is_one_head() -> None:
    made = model("model.box.num_stages=1", "model.box.scale_gradient=false")
    images, targets = scene()
    features = made.neck(made.backbone(images))
    rois = single(made)
    _, alone = made.box.stages[0].losses(features, rois, targets, images)
    seen, together = made.box.losses(features, rois, targets, images)
    assert len(seen) == 1
    assert seen[0] is rois
    assert {name: loss.sum.item() for name, loss in together.items()} == {
        name.replace("roi", "roi1"): loss.sum.item() for name, loss in alone.items()
    }


def detected(made: nn.Module, **options: object) -> Detections:
    for name, value in options.items():
        setattr(made.box, name, value)
    images, _ = scene()
    with torch.no_grad():
        return made.box.detect(*regions(made, images), images)


def test_stages_and_ensembles_at_test_time() -> None:
    made = model()
    images, _ = scene()
    features, rois = regions(made, images)
    with torch.no_grad():
        first = made.box.stages[0].detect(features, rois, images)
    assert torch.equal(detected(made, test_stages=[1]).boxes, first.boxes)
    results = [
        detected(made, test_stages=stages, ensemble=ensemble)
        for stages, ensemble in [([1, 2], "last"), ([1, 2], "each"), ([1, 2, 3], "each"), ([1, 2, 3], "shared"),
                                 ([1, 1, 1], "last")]
    ]  # fmt: skip
    scores = [tuple(found.scores.flatten().tolist()) for found in results]
    assert len(set(scores)) == len(scores)


@torch.no_grad()
def test_the_iterative_box_applies_one_head_to_its_own_output() -> None:
    made = model("model.box.num_stages=1", "model.box.test_stages=[1,1,1]", "model.box.ensemble=last")
    images, _ = scene()
    features, rois = regions(made, images)
    head = made.box.stages[0]
    found = made.box.detect(features, rois, images)
    for _ in range(2):
        _logits, deltas = head.predict(features, rois.boxes)
        moved = torchvision.ops.clip_boxes_to_image(
            BoxCoder((10.0, 10.0, 5.0, 5.0)).decode(deltas.flatten(0, 1)[:, 0], [rois.boxes.flatten(0, 1)])[:, 0], SIZE
        )
        rois = rois._replace(boxes=moved.view_as(rois.boxes))
    expected = head.detect(features, rois, images)
    torch.testing.assert_close(found.boxes, expected.boxes, atol=1e-2, rtol=1e-3)
    torch.testing.assert_close(found.scores, expected.scores, atol=1e-4, rtol=1e-3)


def stage(
    box: CascadeBoxHead, number: int, boxes: Tensor, resample: dict[str, object] | None = None
) -> SampledProposals:
    truth = torch.tensor([[[10.0, 10.0, 50.0, 50.0], [60.0, 60.0, 100.0, 100.0]]])
    targets = Targets(
        truth, torch.tensor([[2, 0]]), torch.tensor([[True, True]]), torch.tensor([[False, True]]), None, None
    )
    box.resample = resample
    images, _ = scene((1,))
    return box.sample_stage(number - 1, boxes, torch.ones(boxes.shape[:2], dtype=torch.bool), targets, images)


def test_later_stages_ask_for_more_overlap() -> None:
    made = build("model=cascade_rcnn", "model.box.num_stages=4").box
    near = torch.tensor(
        [[[10, 10, 50, 50], [10, 10, 50, 38.4], [10, 10, 50, 36], [10, 10, 50, 32], [62, 62, 98, 98.0]]]
    )
    foreground = [(stage(made, number, near).labels[0, :4] == 2).tolist() for number in (1, 2, 3, 4)]
    assert foreground == [
        [True] * 4,
        [True, True, True, False],
        [True, True, False, False],
        [True, False, False, False],
    ]
    assert stage(made, 2, near).valid.tolist() == [[True] * 4 + [False]]  # the last lies in a crowd


def test_a_box_that_clipping_left_nothing_of_teaches_nothing() -> None:
    made = build("model=cascade_rcnn").box
    gone = torch.tensor([[[20.0, 0.0, 40.0, 0.0], [20.0, 60.0, 50.0, 80.0]]])
    assert stage(made, 2, gone).valid.tolist() == [[False, True]]


def test_resampling_puts_foreground_first_and_adds_objects() -> None:
    made = build("model=cascade_rcnn").box
    boxes = torch.tensor([[[0.0, 80.0, 30.0, 110.0], [12.0, 10.0, 50.0, 50.0]] * 6])
    again = stage(made, 3, boxes, RESAMPLE)
    assert again.labels[0].tolist() == [2, 2] + [4] * 6
    assert again.valid.all()
    assert stage(made, 3, boxes[:, :1], RESAMPLE).labels[0, 0] == 2


def test_scaled_gradients_leave_values_and_heads_alone() -> None:
    images, targets = scene()
    totals, gradients = [], []
    for scaled in ("true", "false"):
        made = model(f"model.box.scale_gradient={scaled}")
        features = [x.detach().requires_grad_() for x in made.neck(made.backbone(images))]
        _, losses = made.box.losses(features, single(made), targets, images)
        total(losses).backward()
        totals.append(total(losses).item())
        gradients.append((features[0].grad, made.box.stages[1].scores.weight.grad))
    assert totals[0] == totals[1]
    torch.testing.assert_close(3 * gradients[0][0], gradients[1][0])
    torch.testing.assert_close(gradients[0][1], gradients[1][1])


def test_each_stage_owns_its_body_on_c4_too() -> None:
    made = build("model=faster_rcnn_c4", "+box@model.box=cascade")
    names = {id(parameter) for parameter in made.box.parameters()}
    assert len(names) == 3 * sum(1 for _ in made.box.stages[0].parameters())
    total(made.losses(*scene())).backward()
    assert all(parameter.grad is not None for parameter in made.parameters())


def test_a_mask_head_per_stage_learns_from_that_stage() -> None:
    made = model(name="cascade_mask_rcnn_staged")
    images, targets = scene()
    losses = made.losses(images, targets)
    assert {f"roi{i}_mask" for i in (1, 2, 3)} < losses.keys()
    with torch.no_grad():
        found = made.detect(images)
        features = made.neck(made.backbone(images))
        apart = [head.detect(features, found).masks for head in made.heads["mask"].stages]
    torch.testing.assert_close(found.masks, torch.stack(apart).mean(0))


def test_the_integral_loss_trains_a_classifier_per_overlap() -> None:
    made = model(name="integral_rcnn")
    images, targets = scene()
    total(made.losses(images, targets)).backward()
    assert all(parameter.grad is not None for parameter in made.parameters())
    assert sum(name.endswith("deltas.weight") for name, _ in made.box.named_parameters()) == 1
    with torch.no_grad():
        features, rois = regions(made, images)
        found = made.box.detect(features, rois, images)
        apart = torch.stack([head.logits(features, rois.boxes).softmax(-1) for head in made.box.heads]).mean(0)
    torch.testing.assert_close(found.probabilities[0, 0], apart[0, found.proposal_index[0, 0]])


def test_integral_labels_follow_the_overlap() -> None:
    """Boxes of width 100 moved by 0, 10, 20, 40: IoU 1, 0.82, 0.67, 0.43 (of 90 / 110, 80 / 120, 60 / 140)."""
    made = model("model.box.ious=[0.4,0.5,0.75]", name="integral_rcnn").box
    seen: list[list[int]] = []
    for head in made.heads:
        head.classification.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[1][0].tolist()))
    moved = torch.tensor([0.0, 10.0, 20.0, 40.0, 0.0])
    gt = torch.tensor([0.0, 0.0, 100.0, 50.0]).expand(1, 5, 4)
    sampled = SampledProposals(
        gt + moved[:, None] * torch.tensor([1.0, 0.0, 1.0, 0.0]),
        valid=torch.ones(1, 5, dtype=torch.bool),
        labels=torch.tensor([[2, 2, 1, 0, 4]]),  # the last is background, wherever it lies
        matched_idx=torch.arange(5)[None],
    )
    _, targets = scene((1,))
    targets = targets._replace(boxes=gt, crowd=torch.zeros(1, 5, dtype=torch.bool))
    features = [torch.randn(1, 64, 128 // s, 128 // s) for s in (4, 8, 16, 32, 64)]
    made.losses(features, sampled, targets, None)
    assert seen == [[2, 2, 1, 0, 4], [2, 2, 1, 4, 4], [2, 2, 4, 4, 4]]


@pytest.mark.parametrize("name", ["cascade_rcnn", "cascade_mask_rcnn"])
def test_parameters_are_those_of_the_parts(name: str) -> None:
    """torchvision's detector with its box head replaced by three of 81 classes and one box of 4 numbers."""
    scratch = ("backbone.weights=null", "backbone.norm=bn", "backbone.frozen_stages=0")
    build_there = {"cascade_rcnn": "fasterrcnn_resnet50_fpn", "cascade_mask_rcnn": "maskrcnn_resnet50_fpn"}[name]
    with torch.device("meta"):
        ours = build(f"model={name}", "tier=paper", "dataset.classes=80", *scratch)
        theirs = torchvision.models.get_model(
            build_there, weights=None, weights_backbone=None, num_classes=81, trainable_backbone_layers=5
        )
    heads = theirs.roi_heads
    replaced = count(heads.box_head) + count(heads.box_predictor)
    stage = count(heads.box_head) + (1024 + 1) * (81 + 4)
    background = 257 if name == "cascade_mask_rcnn" else 0  # torchvision has a mask of background
    assert count(ours) == count(theirs) - replaced - background + 3 * stage


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("model.box.num_stages=5", "ious has 4 values for 5 stages"),
        ("model.box.test_stages=[1,4]", r"test_stages=\[1, 4\]: stages count from 1 to 3"),
        ("model.box.head_stages=[]", "head_stages="),
        ("model.box.ensemble=all", "one of each, shared, last"),
    ],
)
def test_impossible_numbers_are_named(override: str, said: str) -> None:
    with pytest.raises(Exception, match=said):
        build("model=cascade_rcnn", override)


def test_the_vgg_cascade_composes() -> None:
    assert config("model=cascade_rcnn_vgg", "tier=paper").model.box.num_stages == 3
