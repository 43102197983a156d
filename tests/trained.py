"""A run folder as training leaves it, in a second: a random model whose scores spread, its config, its classes."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from omegaconf import OmegaConf
from torch import nn

from lineage.data.shapes.outlines import CLASSES
from tests.models.compose import build, config

COUNT = 6  # what dataset=shapes tells apart by default


def run_folder(folder: Path, model: str, *overrides: str) -> Path:
    """config.yaml, weights.pt and classes.json of a mini run of `model` on shapes."""
    torch.manual_seed(0)
    chosen = (f"model={model}", "tier=mini", f"dataset.classes={COUNT}", *overrides)
    network = spread(build(*chosen))
    folder.mkdir(parents=True)
    OmegaConf.save(config(*chosen), folder / "config.yaml")
    torch.save(network.state_dict(), folder / "weights.pt")
    names = {"classes": CLASSES[:COUNT], "category_ids": list(range(1, COUNT + 1))}
    (folder / "classes.json").write_text(json.dumps(names))
    return folder


@torch.no_grad()
def spread(network: nn.Module) -> nn.Module:
    """Scores that differ, so that thresholds and NMS have something to decide."""
    for name, weight in network.named_parameters():
        if name.endswith(("objectness.weight", "scores.weight")):
            weight.mul_(20)
        elif name.endswith(("deltas.weight", "deltas.predictor.weight")):
            weight.mul_(5)
        elif name.endswith("scores.predictor.bias"):
            weight.zero_()  # scores near one half: those of a saturated sigmoid are equal, and their order nobody's
    for name, weight in network.named_buffers():
        if name.endswith(("svms.weight", "ridge.weight")):  # fitted, not descended
            weight.normal_(std=weight.shape[-1] ** -0.5)
    return network
