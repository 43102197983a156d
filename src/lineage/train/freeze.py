"""Training of a part of a model: stage-wise training (Fast R-CNN, arXiv:1504.08083, table 6) and the steps of Faster
R-CNN's alternating training that keep the shared layers (arXiv:1506.01497, section 3.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from torch import nn


class NothingTrained(ValueError):
    """Error for a pattern of `trainable` that matches no parameter."""


def train_only(model: nn.Module, patterns: Sequence[str]) -> list[str]:
    """Freeze all parameters except those whose names match, e.g. box.deltas.*; frozen ones stay frozen.

    Returns the names of the trainable ones. Raises NothingTrained if a pattern matches none.
    """
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            modules = sorted({".".join(name.split(".")[:2]) + ".*" for name in names})
            raise NothingTrained(
                f"trainable: {pattern!r} matches no trainable parameter; there are {', '.join(modules)}"
            )
    trainable = [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in trainable)
    return trainable
