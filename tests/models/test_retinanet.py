"""RetinaNet: parity with torchvision's two, its anchors and losses, and what no objects do."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import Tensor, nn

from lineage.models.detectors.retinanet import build_octave_anchors
from lineage.models.losses.focal import FocalLoss
from lineage.ops.matching import Match
from lineage.structures import Detections
from lineage.weights.sources.table import to_ours, to_theirs
from lineage.weights.sources.torchvision_variants import RETINANET
from tests.models.compose import build
from tests.models.packing import pack_on_cpu
from tests.models.peers import CLASSES, as_lists, learning, prepared
from tests.models.scenes import batch
from tests.models.test_rcnn import operations

SIZES = [(256, 256), (180, 250), (192, 200)]  # P7 of another canvas has a stride that torchvision guesses, not 128
CANVAS = (256, 256)
AS_TORCHVISION = (
    "model=retinanet",
    "tier=paper",
    f"dataset.classes={CLASSES}",
    "backbone.weights=null",
    "backbone.norm=bn",
    "backbone.frozen_stages=0",
    "model.head.anchors.rounded=true",
    "model.head.loss_normalizer=image",
    "model.head.score_thresh=0.02",
    "model.head.detections_per_img=300",
)
VARIANTS = {
    "retinanet_resnet50_fpn": ("model.neck.top_block.source=P5", "regression=l1"),
    "retinanet_resnet50_fpn_v2": (
        "model.head.subnet.norm=gn",
        "regression=giou",
        "regression.loss_weight=1.0",
    ),
}


def theirs(name: str) -> nn.Module:
    torch.manual_seed(0)
    model = torchvision.models.get_model(
        name,
        weights=None,
        weights_backbone=None,
        num_classes=CLASSES + 1,
        score_thresh=0.02,
        trainable_backbone_layers=5,
    )
    prepared(model)
    with torch.no_grad():
        for part in (model.head.classification_head, model.head.regression_head):
            for module in part.conv.modules():
                if isinstance(module, nn.Conv2d):
                    module.weight.mul_(2 if "v2" in name else 4)
        classes = model.head.classification_head.cls_logits
        classes.weight.mul_(1.5 if "v2" in name else 20)  # so that scores neither agree nor saturate
        classes.bias.view(9, -1)[:, 0] = -100.0  # class 0 is background there and never wins in a trained model
        classes.weight.view(9, -1, *classes.weight.shape[1:])[:, 0] = 0
        model.head.regression_head.bbox_reg.weight.mul_(4)
    return model


@pytest.fixture(scope="module", params=VARIANTS)
def pair(request: pytest.FixtureRequest) -> tuple[nn.Module, nn.Module]:
    reference = theirs(request.param)
    model = build(*AS_TORCHVISION, *VARIANTS[request.param])
    found, unknown = to_ours(RETINANET, reference.state_dict())
    assert not unknown
    model.load_state_dict(found)
    returned, lost = to_theirs(RETINANET, found)
    assert not lost
    assert all(torch.equal(returned[name], value) for name, value in reference.state_dict().items())
    return reference, model.eval()


@torch.no_grad()
def test_detections_equal_torchvision(pair: tuple[nn.Module, nn.Module], monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare all that NMS leaves: torchvision keeps boxes without area, which here take no slot."""
    reference, model = pair
    for owner in (reference, model.head):
        monkeypatch.setattr(owner, "detections_per_img", 5000)
    images, targets = batch(SIZES, [3, 2, 1], CLASSES, canvas=CANVAS)
    found = model.detect(images)
    for image, wanted in enumerate(reference(as_lists(images, targets)[0])):
        assert len(wanted["boxes"]) > 20
        assert len(wanted["labels"].unique()) > 1
        valid = found.valid[image]
        solid = (wanted["boxes"][:, 2:] > wanted["boxes"][:, :2]).all(1)
        wanted = {name: value[solid] for name, value in wanted.items()}
        assert valid.sum() == len(wanted["boxes"]) < len(solid)
        torch.testing.assert_close(found.scores[image][valid], wanted["scores"], atol=1e-5, rtol=1e-4)
        assert_same_objects(found.boxes[image][valid], found.labels[image][valid] + 1, wanted)


def assert_same_objects(boxes: Tensor, labels: Tensor, wanted: dict[str, Tensor]) -> None:
    """In any order: neighbouring scores differ by less than rounding."""
    apart = (boxes[:, None] - wanted["boxes"]).abs().amax(-1) + 1e6 * (labels[:, None] != wanted["labels"])
    assert apart.min(0).values.max() < 2e-2
    assert apart.min(1).values.max() < 2e-2


def test_losses_equal_torchvision(pair: tuple[nn.Module, nn.Module]) -> None:
    reference, model = pair
    images, targets = batch(SIZES, [5, 3, 0], CLASSES, canvas=CANVAS)
    expected = learning(reference)(*as_lists(images, targets))
    reference.eval()
    found = {name: loss.sum / loss.normalizer for name, loss in model.losses(images, targets).items()}
    for ours, name in (("dense_cls", "classification"), ("dense_box", "bbox_regression")):
        torch.testing.assert_close(found[ours], expected[name], atol=1e-5, rtol=1e-4)
        assert found[ours] > 0


@torch.no_grad()
def test_boxes_outside_the_image_are_no_detections() -> None:
    """Their best scores took the slots of others; the canvas below the image is padding."""
    torch.manual_seed(0)
    images, _ = batch([(40, 64), (64, 64)], [1, 1], 4, canvas=(64, 64))
    model = build("model=retinanet", "model.head.score_thresh=-1").eval()
    model.head.deltas.predictor.bias.view(-1, 4)[:, 1] = 3.0  # three heights down: out of most images
    found = model.detect(images)
    sides = found.boxes[..., 2:] - found.boxes[..., :2]
    assert found.valid.any(1).all()
    assert (sides[found.valid] > 0).all()
    assert (found.boxes[0, ..., 3] <= 40).all()


@pytest.mark.parametrize("name", ["retinanet", "faster_rcnn"])
def test_empty_slots_hold_zeros_and_no_other(name: str) -> None:
    """At the start every class has a probability of 0.01 or about 0.2: a threshold of 0.9 leaves nothing."""
    torch.manual_seed(0)
    part = {"retinanet": "head", "faster_rcnn": "box"}[name]
    images, _ = batch([(64, 64)] * 2, [1, 0], 4, canvas=(64, 64))
    for threshold, empty in ((0.9, True), (-1.0, False)):
        model = build(f"model={name}", f"model.{part}.score_thresh={threshold}").eval()
        with torch.no_grad():
            found = model.detect(images)
        assert found.boxes.shape[1] > 0
        assert found.valid.any().item() is not empty
        assert not found.boxes[~found.valid].any()
        assert not found.scores[~found.valid].any()
        assert (found.scores[found.valid] > 0).all()


def test_nine_anchors_span_the_octave() -> None:
    anchors = build_octave_anchors(
        octave_base_scale=4.0, scales_per_octave=3, aspect_ratios=[0.5, 1.0, 2.0], strides=[8], rounded=False
    ).base0
    areas = (anchors[:, 2] - anchors[:, 0]) * (anchors[:, 3] - anchors[:, 1])
    sides = areas.sqrt().view(3, 3)
    torch.testing.assert_close(sides, torch.tensor([32.0, 32 * 2 ** (1 / 3), 32 * 2 ** (2 / 3)]).expand(3, 3))


def test_focal_loss_is_torchvisions_and_alpha_balanced_at_gamma_zero() -> None:
    logits, goal = torch.randn(50, 4), (torch.rand(50, 4) > 0.8).float()
    expected = torchvision.ops.sigmoid_focal_loss(logits, goal, 0.25, 2.0)
    torch.testing.assert_close(FocalLoss(alpha=0.25, gamma=2.0)(logits, goal), expected)
    entropy = nn.functional.binary_cross_entropy_with_logits(logits, goal, reduction="none")
    torch.testing.assert_close(FocalLoss(alpha=None, gamma=0.0)(logits, goal), entropy)
    balanced = entropy * torch.where(goal > 0, 0.75, 0.25)
    torch.testing.assert_close(FocalLoss(alpha=0.75, gamma=0.0)(logits, goal), balanced)


def test_focal_gradient_is_finite_at_certain_answers() -> None:
    logits = torch.tensor([-200.0, 200.0, 0.0]).requires_grad_()
    FocalLoss(alpha=0.25, gamma=0.5)(logits, torch.tensor([0.0, 1.0, 1.0])).sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("normalizer", ["batch", "image"])
def test_ignored_anchors_cost_nothing(normalizer: str) -> None:
    head = build("model=retinanet", f"model.head.loss_normalizer={normalizer}").head
    logits, deltas = torch.randn(1, 6, 4), torch.randn(1, 6, 4)
    _, targets = batch([(128, 128)], [2], 4, canvas=(128, 128))
    nowhere = torch.zeros(1, 6, dtype=torch.bool)
    match = Match(torch.zeros(1, 6, dtype=torch.int64), nowhere, nowhere)
    cls, box = head.per_anchor_losses(logits, deltas, torch.ones(1, 6, 4), match, targets)
    assert cls.abs().sum() == 0
    assert box.abs().sum() == 0


def test_an_unknown_normalizer_is_named() -> None:
    with pytest.raises(Exception, match=r"model.head.loss_normalizer=all is unknown; choose batch or image"):
        build("model=retinanet", "model.head.loss_normalizer=all")


OHEM = (
    "{_target_: lineage.models.losses.ohem.OHEM, batch_size_per_image: 16, nms_thresh: 0.7, neg_pos_ratio: 3.0, "
    "topk_candidates: 500}"
)


@pytest.mark.parametrize(
    "options",
    [
        ["model=retinanet"],
        ["model=retinanet", f"model.head.mining={OHEM}", "regression=giou", "suppression=soft_gaussian"],
        ["model=faster_rcnn", f"model.box.mining={OHEM}", "classification=seesaw", "suppression=voting"],
        ["model=mask_rcnn_dc5", "classification=equalization", "regression=ciou", "suppression=soft_linear"],
    ],
    ids=lambda options: options[0],
)
def test_a_step_never_waits_and_images_cost_no_more_operations(options: list[str]) -> None:
    torch.manual_seed(0)
    two, four = (operations(build(*options), images) for images in (2, 4))
    assert not {"nonzero", "_local_scalar_dense", "item", "masked_select"} & two.keys()
    assert four.total() == two.total()


@pytest.mark.parametrize(("norm", "packs"), [("null", True), ("gn", False)])
def test_packed_levels_have_the_losses_gradients_and_detections_of_single_levels(
    norm: str, packs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    subnet = ("model.head.subnet.depth=3", f"model.head.subnet.norm={norm}")
    head = build("model=retinanet", "model.head.score_thresh=0", *subnet).head
    for parameter in head.parameters():  # so that biases are not zero, nor any scores equal
        nn.init.normal_(parameter, std=0.05)
    images, targets = batch([(128, 160), (100, 150)], [3, 2], 4, canvas=(128, 160))
    sides = ((16, 20), (8, 10), (4, 5), (2, 3), (1, 2))
    features = [torch.randn(2, 64, *side, requires_grad=True) for side in sides]
    inputs = [*features, *head.parameters()]

    def run() -> tuple[list[Tensor], tuple[Tensor, ...], Detections]:
        losses = [loss.sum for loss in head.losses(features, images, targets).values()]
        with torch.no_grad():
            detections = head.detect(features, images)
        return losses, torch.autograd.grad(sum(losses), inputs), detections

    expected = run()
    calls = pack_on_cpu(monkeypatch)
    actual = run()
    assert calls == ([4] * 12 if packs else [])  # 3 convolutions of 2 subnets, twice
    torch.testing.assert_close(actual[:2], expected[:2], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(actual[2].boxes, expected[2].boxes, rtol=1e-4, atol=1e-3)
    assert torch.equal(actual[2].labels, expected[2].labels)
