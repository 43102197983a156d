"""Where kernels of this project run: on CUDA with Triton, in eager mode or a recorded step."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor

# A multiply-add rounded once is faster; rounded twice it is torch's, which a comparison with a threshold needs.
FUSED, EXACT = {"enable_fp_fusion": True}, {"enable_fp_fusion": False}
FLOATS = (torch.float32, torch.bfloat16, torch.float16)


def runs_kernels(x: Tensor) -> bool:
    """Return whether x is read by our kernels; a compiler fuses plain torch by itself, an exported program must."""
    return (
        x.is_cuda
        and x.dtype in FLOATS
        and has_triton()
        and not torch.compiler.is_compiling()
        and not torch.compiler.is_exporting()
    )


@cache
def has_triton() -> bool:
    return find_spec("triton") is not None and torch.version.hip is None
