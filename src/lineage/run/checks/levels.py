"""Check that anchors, RoI layers and semantic heads have the strides of the maps that they read.

The maps of a blank image show the strides of a model, whatever its backbone and neck are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from lineage.config.build import ConfigError
from lineage.models.proposals.rpn import AnchorGenerator
from lineage.structures import Images

SIDE = 128  # pixels of the blank image: one position of P7


def check_levels(model: nn.Module) -> None:
    """Raise ConfigError, which names the key, if strides in a model's config are not those of its maps."""
    readers = {name: tuple(module.strides) for name, module in model.named_modules() if hasattr(module, "strides")}
    if not readers or not (hasattr(model, "backbone") and hasattr(model, "neck")):
        return
    actual = measure_strides(model)
    for name, strides in readers.items():
        reads_all = isinstance(model.get_submodule(name), AnchorGenerator)
        if strides != (actual if reads_all else actual[: len(strides)]):
            raise ConfigError(_explain(f"model.{name}", list(strides), list(actual), reads_all))


@torch.no_grad()
def measure_strides(model: nn.Module) -> tuple[int, ...]:
    """Return the strides of a model's maps, finest first, rounded to powers of two: borders may lose a position."""
    pixels = torch.zeros(1, 3, SIDE, SIDE, dtype=torch.uint8)
    images = Images(pixels, torch.full((1, 2), float(SIDE)), torch.zeros(1, dtype=torch.int64))
    with evaluation_mode(model):
        maps: list[Tensor] = model.neck(model.backbone(images))
    return tuple(2 ** round(math.log2(SIDE / features.shape[-1])) for features in maps)


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Set a model to evaluation and afterwards each of its modules to its former mode."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def _explain(key: str, strides: list[int], actual: list[int], reads_all: bool) -> str:
    needed = "one for each map" if reads_all else "the first ones, as many as are pooled"
    sizes = " and as many lists of sizes" if reads_all else ""
    return (
        f"{key}.strides={strides}, but the maps of this model have the strides {actual}, finest first.\n"
        f"Set {key}.strides to {needed}{sizes}; the maps follow from backbone and model.neck."
    )
