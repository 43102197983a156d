"""The number that divides both sides of a test image's canvas, as in the papers' code."""

from __future__ import annotations

from torch import nn

DEFAULT = 32  # the stride of the last stage of a residual network


def get_size_divisibility(model: nn.Module) -> int:
    """Return that of the model's neck: 32 with a pyramid, 1 without; DEFAULT for a model of another kind."""
    return int(getattr(getattr(model, "neck", None), "size_divisibility", DEFAULT))
