"""Whole runs on a CUDA device: of either engine, and one that is killed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.train import tiny

pytestmark = pytest.mark.gpu
RUN = (*tiny.TINY[:1], "trainer=gpu", *tiny.TINY[2:], "optimizer.lr=0.0001")


def compare_runs(ours: Path, theirs: Path) -> None:
    """Compare the losses of all steps.

    After some steps rounding decides which regions are sampled: on a CPU, too, gradients that are changed by a hundred
    thousandth change most losses by a thousandth, and some by three hundredths.
    """
    losses, expected = (torch.tensor(tiny.losses(run)) for run in (ours, theirs))
    assert len(losses) == len(expected) == 12
    differences = ((losses - expected) / expected).abs()
    assert differences.median() < 1e-2, differences
    assert differences.max() < 0.1, differences


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_a_run_with_either_engine_has_equal_losses(tmp_path: Path, precision: str) -> None:
    """With accumulation: two micro batches a step."""
    options = (*RUN, f"trainer.precision={precision}", "data.images_per_device=1")
    for engine in ("eager", "graph"):
        output = tiny.train(tmp_path, *options, f"engine={engine}", f"hydra.run.dir={tmp_path / engine}")
        assert f"{precision}, {engine}" in output
    compare_runs(tmp_path / "graph", tmp_path / "eager")


def test_a_killed_recorded_run_goes_on(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    tiny.train(tmp_path, *RUN, f"hydra.run.dir={whole}")
    tiny.kill_at(6, tmp_path, killed, *RUN)
    tiny.train(tmp_path, f"resume={killed}")
    compare_runs(killed, whole)
