"""Work of a step beside the model's: the same numbers as torch's own functions, without the empty calls."""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch
from benchmarks import step_overhead
from pytorch_lightning import Callback
from pytorch_lightning.loops import training_epoch_loop

from lineage.ops.random import fold_in
from lineage.train.callbacks.empty_hooks import (
    NVML_CHECK,
    STEP_HOOKS,
    NoProfiler,
    fix_step_arguments,
    skip_empty_hooks,
    skip_search_for_gpus,
)
from lineage.train.detection_module import get_total_norm, seed_generators
from tests.train import toy

CPU = torch.device("cpu")


@pytest.mark.parametrize("key", [0, 7, fold_in(3, 5, 0)])
def test_the_generator_is_seeded_as_by_torch(key: int) -> None:
    torch.manual_seed(key)
    expected = torch.rand(5)
    torch.manual_seed(99)
    seed_generators(key, CPU)
    assert torch.equal(torch.rand(5), expected)


@pytest.mark.parametrize("dtypes", [[torch.float32] * 3, [torch.float64, torch.float32, torch.float64]])
def test_the_norm_is_that_of_torch_bit_for_bit(dtypes: list[torch.dtype]) -> None:
    chance = torch.Generator().manual_seed(0)
    shapes = zip(((40, 30), (7,), (3, 5, 2)), dtypes, strict=True)
    gradients = [torch.randn(shape, generator=chance, dtype=dtype) for shape, dtype in shapes]
    assert torch.equal(get_total_norm(gradients), torch.nn.utils.get_total_norm(gradients))


class Recorder(Callback):
    """A callback with two of the hooks of a step."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def on_train_batch_start(self, *_: Any) -> None:
        self.calls.append("start")

    def on_after_backward(self, *_: Any) -> None:
        self.calls.append("backward")


def test_defined_hooks_are_called_and_empty_ones_are_not() -> None:
    recorder, empty, module = Recorder(), Callback(), toy.detection_module()
    skip_empty_hooks(module, [recorder, empty])
    assert {name for name in STEP_HOOKS if getattr(recorder, name)} == {"on_train_batch_start", "on_after_backward"}
    assert not any(getattr(empty, name) for name in STEP_HOOKS)
    defined = {"on_train_batch_start", "on_before_optimizer_step", "on_train_batch_end"}
    assert {name for name in STEP_HOOKS if getattr(module, name)} == defined
    toy.trainer(2, callbacks=[recorder, empty], profiler=NoProfiler()).fit(module, toy.ToyData())
    assert recorder.calls == ["start", "backward"] * 2


def test_the_benchmark_measures_a_run_of_train_py() -> None:
    config = step_overhead.compose_run(steps=20)
    runs = (
        step_overhead.run_bare,
        step_overhead.run_plain,
        step_overhead.run_lightning,
        step_overhead.run_without_norm,
    )
    seconds, calls = [run(config) for run in runs], [step_overhead.count_calls(run, steps=10) for run in runs]
    assert all(0 < value < 1 for value in seconds)
    assert calls[0]["Lightning"] == 0 < calls[3]["ours"] < calls[2]["ours"] < calls[1]["Lightning"]
    table = step_overhead.format_table([seconds], calls, steps=20)
    assert f"| `python train.py` | {seconds[2] * 1e3:.2f} |" in table


def test_the_step_gets_its_batch_without_a_look_at_its_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers: list[int] = []

    class Module(toy.DetectionModule):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            numbers.append(batch_idx)
            return super().training_step(batch, batch_idx)

    monkeypatch.setattr(toy, "DetectionModule", Module)
    trainer = toy.trainer(3)
    fix_step_arguments(trainer)
    monkeypatch.setattr(training_epoch_loop, "is_param_in_hook_signature", lambda *_, **__: pytest.fail("inspected"))
    trainer.fit(toy.detection_module(), toy.ToyData())
    assert numbers == [0, 1, 2]


def test_torch_searches_for_no_gpu_in_a_step_on_a_machine_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NVML_CHECK, "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    skip_search_for_gpus()
    assert os.environ[NVML_CHECK] == "1"  # NVML counts GPUs before CUDA starts
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    skip_search_for_gpus()
    assert NVML_CHECK not in os.environ
