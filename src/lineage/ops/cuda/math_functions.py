"""Functions of Triton kernels that are torch's to the last digit.

Exp, log, log1p and log2 are CUDA's own, as torch has them; those of triton.language approximate.
"""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra.cuda import libdevice

KEEP_NAN = tl.constexpr(tl.PropagateNan.ALL)

if triton.knobs.runtime.interpret:  # which computes with NumPy and knows no library of a device

    @triton.jit
    def exp(x):  # type: ignore[no-untyped-def]
        return tl.exp(x)

    @triton.jit
    def log(x):  # type: ignore[no-untyped-def]
        return tl.log(x)

    @triton.jit
    def log1p(x):  # type: ignore[no-untyped-def]
        return tl.log(1 + x)

    @triton.jit
    def log2(x):  # type: ignore[no-untyped-def]
        return tl.log2(x)

else:
    exp, log, log1p, log2 = libdevice.exp, libdevice.log, libdevice.log1p, libdevice.log2


@triton.jit
def clamp(x, low, high):  # type: ignore[no-untyped-def]
    return tl.minimum(tl.maximum(x, low, KEEP_NAN), high, KEEP_NAN)
