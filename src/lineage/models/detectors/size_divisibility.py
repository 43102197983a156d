"""The number that divides both sides of a test image's canvas, as in the papers' code."""

from __future__ import annotations

from torch import nn

DEFAULT = 32  # the stride of the last stage of a residual network


def get_size_divisibility(model: nn.Module) -> int:
    """Return that of the model's neck, 32 with a pyramid and 1 without, or of the model; DEFAULT for any other."""
    return int(getattr(getattr(model, "neck", model), "size_divisibility", DEFAULT))
