"""float32 on CUDA is exact, and TF32 only where a config says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from lineage.ops.layers.float32 import UnknownPrecision, name_precision, set_float32
from lineage.results.store import read_own
from tests.train import tiny

CUDA = torch.device("cuda")
SWITCHES: tuple[Any, ...] = torch.backends.cudnn, torch.backends.cuda.matmul


@pytest.fixture(autouse=True)
def restore() -> Iterator[None]:
    before = [switch.allow_tf32 for switch in SWITCHES]
    yield
    for switch, value in zip(SWITCHES, before, strict=True):
        switch.allow_tf32 = value


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_precision_that_does_not_say_tf32_has_none(precision: str) -> None:
    torch.backends.cudnn.allow_tf32 = True  # torch's default
    assert set_float32(precision) == precision == name_precision(precision, CUDA)
    assert not any(switch.allow_tf32 for switch in SWITCHES)


def test_tf32_is_lightnings_float32() -> None:
    assert set_float32("tf32") == "32-true"
    assert all(switch.allow_tf32 for switch in SWITCHES)
    assert name_precision("32-true", CUDA) == "tf32"
    assert name_precision("32-true", torch.device("cpu")) == "32-true"


def test_another_word_is_answered_with_those_that_exist() -> None:
    with pytest.raises(UnknownPrecision, match=r"precision=TF32 is unknown; choose one of 32-true, tf32, bf16"):
        set_float32("TF32")


def test_a_run_on_a_cpu_is_exact_all_the_same(tmp_path: Path) -> None:
    output = tiny.train(tmp_path, *tiny.TINY, "schedule.steps=2", "trainer.precision=tf32")
    assert ", 32-true, eager" in output
    (entry,) = read_own(tmp_path / "results")
    assert entry.hardware["precision"] == "32-true"
    assert "trainer.precision=tf32" in entry.deviations
