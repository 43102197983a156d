"""Parameter groups and learning rates are the papers'."""

import pytest
import torch
from torch import nn

from lineage.train.optimizer import get_lr_factor, sgd, split_parameters, warmup_multistep

SGD = {"lr": 0.02, "momentum": 0.9, "weight_decay": 1e-4, "norm_decay": 0.0, "bias_lr_factor": 2.0, "bias_decay": 0.0}
SCHEDULE = {"milestones": [60, 80], "gamma": 0.1, "warmup_steps": 10, "warmup_factor": 0.001}


def body() -> nn.Module:
    frozen = nn.Conv2d(3, 4, 1)
    frozen.requires_grad_(False)
    return nn.Sequential(frozen, nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.Linear(4, 2))


def test_groups_hold_every_trainable_parameter_once() -> None:
    model = body()
    weights, norms, biases = split_parameters(model)
    assert [len(weights), len(norms), len(biases)] == [2, 2, 2]
    assert {*weights, *norms, *biases} == {p for p in model.parameters() if p.requires_grad}


def test_a_shared_parameter_is_stepped_once() -> None:
    linear = nn.Linear(3, 3)
    assert len(split_parameters(nn.Sequential(linear, nn.Sequential(linear)))[0]) == 1


def test_groups_get_their_own_decay_and_rate() -> None:
    weights, norms, biases = sgd(body(), **SGD).param_groups
    assert (weights["lr"], weights["weight_decay"]) == (0.02, 1e-4)
    assert (norms["lr"], norms["weight_decay"]) == (0.02, 0.0)
    assert (biases["lr"], biases["weight_decay"]) == (0.04, 0.0)


def test_fused_steps_equal_plain_ones() -> None:
    model, plain = nn.Linear(5, 5), nn.Linear(5, 5)
    plain.load_state_dict(model.state_dict())
    ours = sgd(model, **{**SGD, "bias_lr_factor": 1.0, "bias_decay": 1e-4})
    theirs = torch.optim.SGD(plain.parameters(), lr=0.02, momentum=0.9, weight_decay=1e-4, fused=False, foreach=False)
    for _ in range(3):
        for net, optimizer in ((model, ours), (plain, theirs)):
            optimizer.zero_grad()
            net(torch.ones(2, 5)).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(model.weight, plain.weight)


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 0.001), (5, 0.5005), (10, 1.0), (59, 1.0), (60, 0.1), (79, 0.1), (80, 0.01)]
)
def test_factor_is_a_pure_function_of_the_step(step: int, expected: float) -> None:
    assert get_lr_factor(step, **SCHEDULE) == pytest.approx(expected)


def test_no_warm_up_divides_by_nothing() -> None:
    assert get_lr_factor(0, [], 0.1, 0, 0.1) == 1.0


def test_the_scheduler_keeps_the_ratio_of_groups() -> None:
    optimizer = sgd(body(), **SGD)
    scheduler = warmup_multistep(optimizer, **SCHEDULE)
    rates = []
    for _ in range(61):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    assert rates[0] == pytest.approx([2e-5, 2e-5, 4e-5])
    assert rates[60] == pytest.approx([0.002, 0.002, 0.004])
