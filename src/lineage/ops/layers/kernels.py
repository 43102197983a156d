"""Where kernels of this project run: on CUDA with Triton, in eager mode or a recorded step."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor

# A multiply-add rounded once is faster; rounded twice it is torch's, which a comparison with a threshold needs.
FUSED, EXACT = {"enable_fp_fusion": True}, {"enable_fp_fusion": False}
HALVES = (torch.bfloat16, torch.float16)
FLOATS = (torch.float32, *HALVES)


def runs_kernels(x: Tensor) -> bool:
    """Return whether x, a tensor of floats, is read by our kernels."""
    return x.dtype in FLOATS and runs_triton(x)


def runs_triton(x: Tensor) -> bool:
    """Return whether Triton runs on x of any type; a compiler fuses plain torch by itself, an exported program must."""
    return x.is_cuda and has_triton() and not torch.compiler.is_compiling() and not torch.compiler.is_exporting()


def read_compute_type(x: Tensor) -> torch.dtype:
    """Return the type that autocast computes products in on the device of x, that of x without autocast."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


def needs_gradient(*tensors: Tensor) -> bool:
    """Return whether a gradient of any tensor is recorded: what a kernel without a backward must leave to torch."""
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


@cache
def has_triton() -> bool:
    return find_spec("triton") is not None and torch.version.hip is None
