"""The choice of an engine and its reason, the slots that it computes, and the sizes of its buffers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from torch import nn

from lineage.run.assemble import explain_refusal
from lineage.train.engines import slot_forecast
from lineage.train.engines.engine import EagerEngine, UnknownEngine, make_engine
from lineage.train.engines.slot_forecast import NeededSlots, SlotForecast
from lineage.train.engines.static_batch import round_up_by_four
from lineage.train.engines.step_graph import GraphEngine

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("name", "device", "options", "description"),
    [
        ("auto", CPU, {}, "eager"),
        ("eager", CUDA, {}, "eager"),
        ("auto", CPU, {"computes_twice": True}, "eager, blocks computed twice"),
        ("eager", CUDA, {"detect_anomaly": True}, "eager"),
        ("graph", CPU, {"detect_anomaly": True}, "eager: engine=graph needs CUDA, and this run is on cpu"),
        ("auto", CUDA, {"detect_anomaly": True, "computes_twice": True}, "eager: trainer.detect_anomaly=true reads"),
        ("graph", CUDA, {"computes_twice": True}, "eager: activation_checkpointing=true runs the body"),
        ("graph", CUDA, {"sharded": True}, "eager, weights split over processes"),
        ("auto", CUDA, {}, "graph: CUDA graphs per canvas"),
        ("graph", CUDA, {}, "graph: CUDA graphs per canvas"),
    ],
)
def test_the_engine_follows_from_name_device_and_options(
    name: str, device: torch.device, options: dict[str, Any], description: str
) -> None:
    model = nn.Conv2d(3, 4, 3)
    engine = make_engine(name, model, device, **options)
    assert engine.description.startswith(description)
    assert isinstance(engine, GraphEngine if description.startswith("graph") else EagerEngine)
    is_channels_last = model.weight.is_contiguous(memory_format=torch.channels_last)
    assert is_channels_last == (device.type == "cuda" and not options.get("sharded"))


@pytest.mark.parametrize(
    ("needs", "at_least", "slots"),
    [([12], 0, 16), ([13], 0, 32), ([25], 0, 32), ([26], 0, 64), ([51, 3], 0, 64), ([52, 3], 0, 128),
     ([1], 16, 16), ([1], 17, 32), ([26], 30, 64), ([0], 0, 16)],
)  # fmt: skip
def test_a_quarter_more_than_the_largest_recent_need_is_expected(needs: list[int], at_least: int, slots: int) -> None:
    """16, 32, 64, ...: the first of at least 1.25 times the need, and of what a repeated step needs."""
    forecast = SlotForecast(nn.Identity())
    for need in needs:
        forecast.add(need)
    assert forecast.choose(at_least) == slots


def test_the_largest_need_is_remembered_for_sixteen_steps() -> None:
    forecast = SlotForecast(nn.Identity())
    forecast.add(100)
    for _ in range(15):
        forecast.add(3)
    assert forecast.choose() == 128
    forecast.add(3)
    assert forecast.choose() == 16
    for part, may_repeat in ((nn.Dropout(0.1), False), (nn.BatchNorm1d(3), False), (nn.GroupNorm(1, 3), True)):
        assert SlotForecast(nn.Sequential(nn.Identity(), part)).may_repeat == may_repeat


@pytest.mark.parametrize(
    ("slots", "needs", "is_enough"),
    [(16, [16, 3], True), (16, [3, 17], False), (None, [99], True), (16, [], True), (16, [1] * 16, True),
     (16, [1] * 17, False)],
)  # fmt: skip
def test_slots_are_enough_up_to_their_number_for_sixteen_heads(
    slots: int | None, needs: list[int], is_enough: bool
) -> None:
    needed = NeededSlots(slots, pinned=False)
    for need in needs:
        needed.report(torch.tensor(need))
    assert needed.is_enough() == is_enough
    assert needed.wait() == max(needs, default=0)
    needed.reset()
    assert (needed.host == slot_forecast.UNREAD).all()


def test_a_need_that_does_not_come_is_waited_for_by_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = NeededSlots(16, pinned=False)
    needed.heads = 1
    monkeypatch.setattr(slot_forecast, "PATIENCE", 0.01)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: needed.host.fill_(7))
    assert needed.wait() == 7


def test_buffers_grow_by_four() -> None:
    sizes = [round_up_by_four(n, 16) for n in (0, 1, 16, 17, 64, 65, 256, 257)]
    assert sizes == [16, 16, 16, 64, 64, 256, 256, 1024]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (UnknownEngine("engine=fast is unknown"), "engine=fast is unknown"),
        (MisconfigurationException("No supported gpu backend found!"), "torch sees no GPU on this machine: leave"),
        (ValueError("devices=0"), "no trainer for this config: devices=0"),
    ],
)
def test_a_trainer_that_cannot_be_made_is_explained(error: Exception, message: str) -> None:
    assert explain_refusal(error).startswith(message)
