"""Mean of the weights of several checkpoints of a run, tested as one model: stochastic weight averaging (SWA).

arXiv:1803.05407; of detectors, SWA Object Detection (arXiv:2012.12645). Buffers are averaged too: running statistics of
batch norms are then means, and frozen ones stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from lineage.config.build import ConfigError
from lineage.results.run_folder import RunFolder, step_of

PREFIX = "model."  # of the detector in a checkpoint


def load_average(model: nn.Module, weights: str, parts: Sequence[float]) -> None:
    """Load the mean of the checkpoints after the `parts` of the training, e.g. [0.8, 0.9, 1], of the run of `weights`.

    Raises ConfigError if its run folder lacks one of them.
    """
    folder = find_folder(weights)
    checkpoints = folder.list_checkpoints()
    if not checkpoints:
        raise ConfigError(f"average_checkpoints: {folder.checkpoints} is empty; train with keep_checkpoints={[*parts]}")
    last = max(checkpoints)
    steps = [step_of(part, last) for part in parts]
    if absent := [step for step in steps if step not in checkpoints]:
        raise ConfigError(
            f"average_checkpoints={[*parts]}: {folder.checkpoints} has no checkpoint of the steps {absent}, only of "
            f"{[*checkpoints]}; train with keep_checkpoints={[*parts]}"
        )
    model.load_state_dict(average([read_model(checkpoints[step]) for step in steps]))


def find_folder(weights: str) -> RunFolder:
    path = Path(weights)
    folder = RunFolder(path) if path.is_dir() else RunFolder.containing(path)
    if folder is None:
        raise ConfigError(f"average_checkpoints: weights={weights} lie in no run folder, which would hold checkpoints")
    return folder


def read_model(checkpoint: Path) -> dict[str, Tensor]:
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    return {name.removeprefix(PREFIX): value for name, value in state.items() if name.startswith(PREFIX)}


def average(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of each tensor, summed in double precision; of integers, such as counts, the last."""
    mean = dict(states[-1])
    for name, value in mean.items():
        if value.is_floating_point():
            total = sum((state[name].double() for state in states), torch.zeros_like(value, dtype=torch.float64))
            mean[name] = (total / len(states)).to(value.dtype)
    return mean
