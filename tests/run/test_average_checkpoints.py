"""SWA: the mean of checkpoints of one run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from lineage.config.build import ConfigError
from lineage.run.average_checkpoints import average, load_average


def run(folder: Path, *steps: int) -> Path:
    """A run folder whose checkpoint of step s has weights s and a count of s."""
    (folder / "checkpoints").mkdir()
    (folder / "config.yaml").write_text("")
    for step in steps:
        state = {"model.weight": torch.full((2, 3), float(step)), "model.bias": torch.full((2,), -float(step))}
        torch.save({"state_dict": state}, folder / "checkpoints" / f"step-{step:07d}.ckpt")
    return folder


def test_weights_are_the_mean_of_the_named_checkpoints(tmp_path: Path) -> None:
    folder, model = run(tmp_path, 300, 450, 600), nn.Linear(3, 2)
    load_average(model, str(folder), [0.5, 0.75, 1])
    assert model.weight.tolist() == [[450.0] * 3] * 2
    (folder / "weights.pt").touch()
    load_average(model, str(folder / "weights.pt"), [0.75, 1])  # as a row's parent is named
    assert model.bias.tolist() == [-525.0] * 2


def test_a_mean_is_torchs() -> None:
    """torch.optim.swa_utils averages one model after the other; integers are those of the last."""
    torch.manual_seed(0)
    models = [nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)) for _ in range(3)]
    for number, model in enumerate(models):
        for _ in range(number + 1):
            model(torch.randn(2, 3, 5, 5))
    averaged = torch.optim.swa_utils.AveragedModel(models[0], use_buffers=True)
    for model in models:
        averaged.update_parameters(model)
    ours = average([model.state_dict() for model in models])
    for name, value in averaged.module.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(ours[name], value)
    assert ours["1.num_batches_tracked"] == 3


def test_a_checkpoint_that_was_not_kept_is_named(tmp_path: Path) -> None:
    folder = run(tmp_path, 590, 600)
    with pytest.raises(ConfigError, match=r"no checkpoint of the steps \[480, 540\].*keep_checkpoints=\[0.8, 0.9, 1\]"):
        load_average(nn.Linear(3, 2), str(folder), [0.8, 0.9, 1])
    with pytest.raises(ConfigError, match="lie in no run folder"):
        load_average(nn.Linear(3, 2), "/nowhere/weights.pt", [1])
