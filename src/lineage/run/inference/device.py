"""The device that predictions and latencies are computed on: `--device`."""

from __future__ import annotations

import torch


def choose_device(name: str | None) -> torch.device:
    """Return the device of that name, by default a GPU where there is one; of several, make it the current one.

    Kernels are launched on the current GPU, wherever their tensors are.
    """
    device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
    if device.index is not None and device.type == "cuda" and torch.cuda.is_available():
        torch.cuda.set_device(device)
    return device
