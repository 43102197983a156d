"""How CUDA multiplies float32: exactly, or in TF32 if `trainer.precision=tf32` says so.

torch convolves float32 in TF32 by default, with 10 bits of the mantissa in place of 23.
"""

from __future__ import annotations

import torch

TF32, EXACT = "tf32", "32-true"  # the second is Lightning's name


def set_float32(precision: str) -> str:
    """Let convolutions and products of float32 be exact, or TF32 for that precision; return Lightning's name of it."""
    is_tf32 = precision == TF32
    torch.backends.cudnn.allow_tf32 = is_tf32
    torch.backends.cuda.matmul.allow_tf32 = is_tf32
    return EXACT if is_tf32 else precision


def name_precision(precision: str) -> str:
    """Return the precision of a trainer as the config names it."""
    return TF32 if precision == EXACT and torch.backends.cudnn.allow_tf32 else precision
