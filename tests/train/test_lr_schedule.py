"""Learning rates are those of the papers and of torch's own schedulers."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR

from lineage.train.lr_schedule import Constant, Cosine, Decay, MultiStep, OneCycle, get_lr_factor, with_warmup
from lineage.train.optimizer import sgd

STEPS = 50


def rates(scheduler: LRScheduler, steps: int) -> list[list[float]]:
    """Return the rates of the parameter groups at each step."""
    used = []
    for _ in range(steps):
        used.append([group["lr"] for group in scheduler.optimizer.param_groups])
        scheduler.optimizer.step()
        scheduler.step()
    return used


def one_group(lr: float = 1.0) -> SGD:
    return SGD([nn.Parameter(torch.zeros(1))], lr=lr)


def without_warmup(decay: Decay) -> list[list[float]]:
    return rates(with_warmup(one_group(), decay=decay, warmup_steps=0, warmup_factor=1.0), STEPS)


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 0.001), (5, 0.5005), (10, 1.0), (59, 1.0), (60, 0.1), (79, 0.1), (80, 0.01)]
)
def test_steps_are_a_pure_function_of_the_step(step: int, expected: float) -> None:
    assert get_lr_factor(step, MultiStep([60, 80], 0.1), 10, 0.001) == pytest.approx(expected)


def test_no_warm_up_divides_by_nothing() -> None:
    assert get_lr_factor(0, MultiStep([], 0.1), 0, 0.1) == 1.0


def test_the_scheduler_keeps_the_ratio_of_groups() -> None:
    model = nn.Linear(4, 2)
    optimizer = sgd(model, lr=0.02, momentum=0.9, weight_decay=1e-4, norm_decay=0.0, bias_lr_factor=2.0, bias_decay=0.0)
    scheduler = with_warmup(optimizer, decay=MultiStep([60, 80], 0.1), warmup_steps=10, warmup_factor=0.001)
    used = rates(scheduler, 61)
    assert used[0] == pytest.approx([2e-5, 4e-5])
    assert used[60] == pytest.approx([0.002, 0.004])


def test_cosine_is_torchs() -> None:
    theirs = rates(CosineAnnealingLR(one_group(), T_max=STEPS - 1), STEPS)
    assert without_warmup(Cosine(STEPS, warmup_steps=0)) == [pytest.approx(rate, abs=1e-9) for rate in theirs]


def test_cosine_begins_after_the_warm_up_and_ends_at_the_last_step() -> None:
    decay = Cosine(STEPS, warmup_steps=10, final_factor=0.05)
    used = [get_lr_factor(step, decay, 10, 0.1) for step in range(STEPS)]
    assert used[0] == 0.1
    assert used[10] == 1.0
    assert max(used) == 1.0
    assert used[-1] == pytest.approx(0.05)
    assert decay(STEPS) == pytest.approx(0.05)  # torch asks for it after the last step
    assert used[:10] == sorted(used[:10])
    assert used[10:] == sorted(used[10:], reverse=True)


def test_one_cycle_is_torchs() -> None:
    scheduler = OneCycleLR(one_group(0.1), max_lr=1.0, total_steps=STEPS + 1, cycle_momentum=False)
    theirs = [scheduler.get_last_lr()]
    for _ in range(STEPS):
        scheduler.optimizer.step()
        scheduler.step()
        theirs.append(scheduler.get_last_lr())
    decay = OneCycle(STEPS + 1)
    assert [decay(step) for step in range(STEPS + 1)] == [pytest.approx(rate[0], abs=1e-9) for rate in theirs]


def test_constant_stays() -> None:
    assert without_warmup(Constant()) == [[1.0]] * STEPS


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("decay", [Cosine, OneCycle])
def test_the_shortest_runs_have_a_rate(decay: type[Cosine | OneCycle], steps: int) -> None:
    made = Cosine(steps, warmup_steps=0) if decay is Cosine else OneCycle(steps)
    assert all(0 <= made(step) <= 1 for step in range(steps + 1))
