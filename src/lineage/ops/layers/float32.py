"""How CUDA multiplies float32: exactly, or in TF32 if `trainer.precision=tf32` says so.

torch convolves float32 in TF32 by default, with 10 bits of the mantissa in place of 23.
"""

from __future__ import annotations

import torch

TF32, EXACT = "tf32", "32-true"  # the second is Lightning's name
USUAL = (EXACT, TF32, "bf16-mixed", "16-mixed")
OTHERS = ("64-true", "bf16-true", "16-true", "32", "64", "16", "bf16")  # that Lightning knows for any model


class UnknownPrecision(ValueError):
    """Error for a precision that neither Lightning nor this project knows."""


def set_float32(precision: str) -> str:
    """Let convolutions and products of float32 be exact, or TF32 for that precision; return Lightning's name of it.

    Raises UnknownPrecision.
    """
    if precision not in USUAL + OTHERS:
        raise UnknownPrecision(f"trainer.precision={precision} is unknown; choose one of {', '.join(USUAL)}")
    is_tf32 = precision == TF32
    torch.backends.cudnn.allow_tf32 = is_tf32
    torch.backends.cuda.matmul.allow_tf32 = is_tf32
    return EXACT if is_tf32 else precision


def name_precision(precision: str, device: torch.device) -> str:
    """Return what Lightning's precision is on a device: TF32 is CUDA's alone."""
    is_tf32 = precision == EXACT and device.type == "cuda" and torch.backends.cudnn.allow_tf32
    return TF32 if is_tf32 else precision
