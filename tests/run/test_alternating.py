"""Runs that build on each other: alternating training of Faster R-CNN in four steps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.train.tiny import train

SMOKE = (
    "tier=smoke", "trainer=cpu", "logger=none", "data.workers=0", "dataset.train.length=8", "dataset.val.length=4",
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
