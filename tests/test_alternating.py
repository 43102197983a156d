"""Runs that build on each other: alternating training of Faster R-CNN in four steps, and plain trainings on shapes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.train.tiny import train

SMOKE = (
    "tier=smoke", "trainer=cpu", "track=none", "data.workers=0", "dataset.train.length=8", "dataset.val.length=4",
    "dataset.size=[64,64]",
)  # fmt: skip


@pytest.mark.slow
def test_four_steps_end_in_one_network_that_shares_its_convolutions(tmp_path: Path) -> None:
    def step(number: int, *overrides: str) -> dict[str, torch.Tensor]:
        train(tmp_path, *SMOKE, *overrides, f"hydra.run.dir={tmp_path / str(number)}")
        return torch.load(tmp_path / str(number) / "weights.pt", weights_only=True)

    def given(number: int) -> tuple[str, ...]:
        return "model=fast_rcnn", "proposals=file", f"proposals.folder={tmp_path / str(number) / 'proposals'}"

    step(1, "model=rpn_vgg", "dump_proposals=true")
    second = step(2, *given(1))
    start = f"weights={tmp_path / '2' / 'weights.pt'}"
    third = step(3, "model=rpn_vgg", start, "trainable=[proposals.*]", "dump_proposals=true")
    fourth = step(4, *given(3), start, "trainable=[box.*]")
    both = ",".join(str(tmp_path / number / "weights.pt") for number in "34")
    merged = step(5, "model=faster_rcnn_vgg", f"weights=[{both}]", "evaluate_only=true")
    shared = [name for name in second if name.startswith("backbone.")]
    assert shared
    assert all(torch.equal(other[name], second[name]) for name in shared for other in (third, fourth, merged))
    assert all(torch.equal(merged[name], (third | fourth)[name]) for name in merged)
    assert not torch.equal(fourth["box.deltas.weight"], second["box.deltas.weight"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "metric", "least"),
    [
        (("model=fast_rcnn",), "box/AP50", 35),  # measured 46
        (("model=faster_rcnn_vgg",), "box/AP50", 14),  # 22
        (("model=rpn",), "box/AR100", 42),  # 49
    ],
)
def test_it_learns_shapes(tmp_path: Path, overrides: tuple[str, ...], metric: str, least: float) -> None:
    train(tmp_path, *overrides, "trainer=cpu", "track=none", "data.workers=0", f"hydra.run.dir={tmp_path / 'run'}")
    assert json.loads((tmp_path / "run" / "entry.json").read_text())["metrics"][metric] > least
