"""Train a part of a model only: stage-wise training (Fast R-CNN, arXiv:1504.08083, table 6) and the steps of Faster
R-CNN's alternating training that keep the shared layers (arXiv:1506.01497, section 3.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from torch import nn


class NothingTrained(ValueError):
    """`trainable` names no parameter."""


def train_only(model: nn.Module, patterns: Sequence[str]) -> list[str]:
    """Freeze all parameters but those whose names match, e.g. box.deltas.*; what is frozen already stays so.

    Returns the names that remain. Raises NothingTrained where a pattern matches none.
    """
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            parts = sorted({".".join(name.split(".")[:2]) + ".*" for name in names})
            raise NothingTrained(f"trainable: {pattern!r} matches no trainable parameter; there are {', '.join(parts)}")
    kept = [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in kept)
    return kept
