"""What classification losses make of a region: sigmoids, long tails, and their probabilities."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineage.config.build import build as made
from lineage.models.losses.class_frequency import set_class_counts
from lineage.models.losses.class_losses import SmoothedSigmoid, one_hot
from lineage.models.losses.focal import FocalLoss
from tests.models.compose import build, config
from tests.models.scenes import batch

OPTIONS = [
    "softmax",
    "softmax_smooth",
    "sigmoid",
    "sigmoid_smooth",
    "focal",
    "class_balanced",
    "equalization",
    "seesaw",
]
CLASSES = 4
COUNTS = [1000, 100, 10, 1]  # images of each class, of 10000


def loss(name: str, *options: str) -> nn.Module:
    module = made(config(f"classification={name}", *options).classification)(CLASSES)
    set_class_counts(module, COUNTS, 10_000)
    return module


def example(outputs: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 6, outputs, generator=generator, requires_grad=True)
    labels = torch.tensor([[0, 1, 2, 3, 4, 4], [3, 3, 0, 4, 4, 4]])
    return logits, labels, torch.arange(12).view(2, 6) != 11


@pytest.mark.parametrize("name", OPTIONS)
def test_probabilities_are_of_classes_and_background(name: str) -> None:
    module = loss(name)
    probabilities = module.probabilities(example(module.outputs)[0])
    assert probabilities.shape == (2, 6, CLASSES + 1)
    assert ((probabilities >= 0) & (probabilities <= 1)).all()


@pytest.mark.parametrize("name", OPTIONS)
def test_costs_are_of_single_regions_and_empty_slots_cost_nothing(name: str) -> None:
    module = loss(name)
    logits, labels, valid = example(module.outputs)
    cost = module(logits, labels, valid)
    assert cost.shape == (2, 6)
    assert cost[1, 5] == 0
    assert (cost[valid] > 0).all()
    alone = module(logits[1:, 2:3], labels[1:, 2:3], valid[1:, 2:3])
    torch.testing.assert_close(alone[0, 0], cost[1, 2])
    cost.sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert logits.grad[1, 5].abs().sum() == 0


@pytest.mark.parametrize("name", OPTIONS)
def test_a_right_answer_costs_less_and_less(name: str) -> None:
    module = loss(name)
    labels, valid = torch.tensor([[2, CLASSES]]), torch.ones(1, 2, dtype=torch.bool)
    logits = torch.zeros(1, 2, module.outputs, requires_grad=True)
    first = module(logits, labels, valid)
    (slope,) = torch.autograd.grad(first.sum(), logits)
    better = module(logits - 0.5 * slope, labels, valid)
    assert (better < first).all()


@pytest.mark.parametrize("name", OPTIONS)
def test_a_step_of_the_whole_model_is_finite_without_objects(name: str) -> None:
    torch.manual_seed(0)
    model = build("model=faster_rcnn", f"classification={name}")
    for counts in ([2, 0], [0, 0]):
        losses = model.losses(*batch([(64, 64)] * 2, counts, 4, canvas=(64, 64)))
        total = torch.stack([one.sum / one.normalizer.clamp(min=1) for one in losses.values()]).sum()
        model.zero_grad()
        total.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_sigmoid_heads_start_from_their_prior() -> None:
    head = build("model=faster_rcnn", "classification=sigmoid").box
    scores = head.classification.probabilities(head.scores(torch.zeros(1, 1, head.body.channels)))
    torch.testing.assert_close(scores[0, 0], torch.tensor([0.01] * 4 + [0.99]))


def test_sigmoid_is_the_sum_of_binary_cross_entropies() -> None:
    logits, labels, valid = example(CLASSES)
    expected = F.binary_cross_entropy_with_logits(logits, one_hot(labels, CLASSES), reduction="none").sum(-1)
    torch.testing.assert_close(loss("sigmoid")(logits, labels, valid), expected * valid)


def test_smoothing_nothing_is_softmax() -> None:
    logits, labels, valid = example(CLASSES + 1)
    smoothed = loss("softmax_smooth", "classification.label_smoothing=0.0")
    torch.testing.assert_close(smoothed(logits, labels, valid), loss("softmax")(logits, labels, valid))


def test_rare_classes_are_spared_by_other_objects_but_not_by_background() -> None:
    """Rare below 0.00176 x 10000 images: classes 2 and 3."""
    module = loss("equalization")
    logits, labels, valid = example(CLASSES)
    module(logits, labels, valid).sum().backward()
    touched = logits.grad != 0
    assert touched[0, 0].tolist() == [True, True, False, False]
    assert touched[0, 3].tolist() == [True, True, False, True]  # its own class learns
    assert touched[0, 4].tolist() == [True, True, True, True]  # background


def test_class_balanced_weights_follow_the_effective_number() -> None:
    weights = loss("class_balanced").weights()
    effective = [(1 - 0.999**count) / (1 - 0.999) for count in COUNTS]
    ratio = torch.tensor(effective[1] / effective[0])  # in float32 beta itself would be off by 1.3e-8, this by 5e-6
    torch.testing.assert_close(weights[0] / weights[1], ratio, rtol=1e-6, atol=0.0)
    torch.testing.assert_close(weights[:4].mean(), torch.tensor(1.0))
    assert weights[4] == 1


def test_class_balanced_cost_is_the_sigmoid_cost_times_the_weight_of_the_class() -> None:
    """Equation 12 written out: (1 - beta) / (1 - beta^n) per region, classes averaging 1, background 1."""
    logits, labels, valid = example(CLASSES)
    inverse = [(1 - 0.999) / (1 - 0.999**count) for count in COUNTS]
    weights = [CLASSES * weight / sum(inverse) for weight in inverse] + [1.0]
    assert weights[3] > 100 * weights[0]  # the rare class counts more
    expected = loss("sigmoid")(logits, labels, valid) * torch.tensor(weights)[labels]
    torch.testing.assert_close(loss("class_balanced")(logits, labels, valid), expected)


@pytest.mark.parametrize("name", ["class_balanced", "equalization", "seesaw"])
def test_a_class_without_training_images_counts_as_one_of_a_single_image(name: str) -> None:
    unseen, single = loss(name), loss(name)
    set_class_counts(unseen, [1000, 100, 10, 0], 10_000)
    logits, labels, valid = example(unseen.outputs)
    cost = unseen(logits, labels, valid)
    torch.testing.assert_close(cost, single(logits, labels, valid))
    cost.sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_seesaw_without_its_two_factors_is_softmax_times_objectness() -> None:
    plain = loss("seesaw", "classification.mitigation=0", "classification.compensation=0")
    logits, labels, valid = example(CLASSES + 2)
    foreground = labels < CLASSES
    object_ = F.cross_entropy(logits[..., -2:].flatten(0, 1), (~foreground).long().flatten(), reduction="none")
    own = labels.clamp(max=CLASSES - 1).flatten()
    classes = F.cross_entropy(logits[..., :-2].flatten(0, 1), own, reduction="none")
    expected = (object_ + classes * foreground.flatten()).view(2, 6) * valid
    torch.testing.assert_close(plain(logits, labels, valid), expected)


def test_seesaw_presses_rare_classes_less_than_frequent_ones() -> None:
    """Equation 5: class 0 (1000 images) presses class 3 (1 image) by (1 / 1000)^0.8, and not the reverse."""
    module = loss("seesaw", "classification.compensation=0")
    logits = torch.zeros(1, 2, CLASSES + 2, requires_grad=True)
    module(logits, torch.tensor([[0, 3]]), torch.ones(1, 2, dtype=torch.bool)).sum().backward()
    share = 1 / (1 + 0.1**0.8 + 0.01**0.8 + 0.001**0.8)
    torch.testing.assert_close(logits.grad[0, 0, 3], torch.tensor(share * 0.001**0.8))
    torch.testing.assert_close(logits.grad[0, 1, 0], torch.tensor(0.25))


def test_seesaw_presses_wrong_confident_classes_more() -> None:
    both, one = loss("seesaw"), loss("seesaw", "classification.compensation=0")
    set_class_counts(both, [1] * 4, 10)
    set_class_counts(one, [1] * 4, 10)
    logits = torch.tensor([[[0.0, 2.0, 0, 0, 0, 0]]])
    labels, valid = torch.tensor([[0]]), torch.ones(1, 1, dtype=torch.bool)
    assert both(logits, labels, valid) > one(logits, labels, valid)


def test_smoothed_sigmoids_have_soft_targets() -> None:
    """Bag of Freebies for YOLOv3: 1 - s of the class, s of the others, s = min(1 / C, 1 / 40)."""
    module = loss("sigmoid_smooth")
    logits, labels, valid = example(CLASSES)
    targets = one_hot(labels, CLASSES) * (1 - 2 * 0.025) + 0.025
    expected = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(-1) * valid
    torch.testing.assert_close(module(logits, labels, valid), expected)
    torch.testing.assert_close(targets[0, 0], torch.tensor([0.975, 0.025, 0.025, 0.025]))
    plain = loss("sigmoid_smooth", "classification.loss_fn.label_smoothing=0")
    torch.testing.assert_close(plain(logits, labels, valid), loss("sigmoid")(logits, labels, valid))


def test_a_smoothed_focal_loss_is_the_mean_over_wrong_labels() -> None:
    focal = FocalLoss(alpha=0.25, gamma=2.0)
    logits, gt = torch.randn(5, 3), torch.tensor([[1.0, 0, 0]]).expand(5, 3)
    smoothed = SmoothedSigmoid(loss_fn=focal, label_smoothing=0.1)(logits, gt)
    torch.testing.assert_close(smoothed, 0.9 * focal(logits, gt) + 0.1 * focal(logits, 1 - gt))
