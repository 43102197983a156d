"""Weights as values: take over those that fit, and name them by their content."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor, nn


def adopt(model: nn.Module, state: dict[str, Tensor]) -> list[str]:
    """Load what fits by name and shape; return the names in `model` that nothing was found for.

    Another dataset has other classes, so the last layers of a detector never fit and start afresh.
    """
    own = model.state_dict()
    given = {name.removeprefix("model."): value for name, value in state.items()}
    fitting = {name: value for name, value in given.items() if name in own and own[name].shape == value.shape}
    model.load_state_dict(fitting, strict=False)
    return sorted(own.keys() - fitting.keys())


def sha256(model: nn.Module) -> str:
    """Over names, types, shapes and bytes: equal weights have equal digests, whatever file they came from."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().view(torch.uint8).numpy().data if value.ndim else b"")
        digest.update(str(value.item()).encode() if not value.ndim else b"")
    return digest.hexdigest()
