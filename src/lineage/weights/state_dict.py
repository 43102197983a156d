"""Weights as values: take over those that fit, say what did not, and name them by their content."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import torch
from torch import Tensor, nn

COUNTER = ".num_batches_tracked"  # of a batch norm that was trained; nothing depends on it


class Fit(NamedTuple):
    """How weights fit a model, by name and shape."""

    fitting: dict[str, Tensor]
    missing: list[str]  # in the model, and nothing was found for it
    unused: list[str]  # in the file, and the model has no such thing
    misshapen: list[tuple[str, tuple[int, ...], tuple[int, ...]]]  # name, shape in the file, shape in the model


def fit(model: nn.Module, state: dict[str, Tensor]) -> Fit:
    """Compare, and change nothing. A tensor that two names of the model share may come under either."""
    own = model.state_dict()
    given = {name.removeprefix("model."): value for name, value in state.items()}
    given |= _shared(own, given)
    fitting = {name: value for name, value in given.items() if name in own and own[name].shape == value.shape}
    both = sorted(own.keys() & given.keys() - fitting.keys())
    return Fit(
        fitting,
        sorted(name for name in own.keys() - fitting.keys() if not name.endswith(COUNTER)),
        sorted(name for name in given.keys() - own.keys() if not name.endswith(COUNTER)),
        [(name, tuple(given[name].shape), tuple(own[name].shape)) for name in both],
    )


def adopt(model: nn.Module, state: dict[str, Tensor]) -> list[str]:
    """Load what fits; return the names in `model` that nothing was found for.

    Another dataset has other classes, so the last layers of a detector never fit and start afresh.
    """
    found = fit(model, state)
    model.load_state_dict(found.fitting, strict=False)
    return found.missing


def _shared(own: dict[str, Tensor], given: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names of the model that are other names of a tensor that was given: C4's heads share conv5_x."""
    names: dict[tuple[int, torch.Size], list[str]] = {}
    for name, value in own.items():
        if value.numel() and not value.is_meta:
            names.setdefault((value.data_ptr(), value.shape), []).append(name)
    groups = [group for group in names.values() if len(group) > 1]
    return {
        name: given[source]
        for group in groups
        for source in [next((one for one in group if one in given), None)]
        if source is not None
        for name in group
        if name not in given
    }


def sha256(model: nn.Module) -> str:
    """Over names, types, shapes and bytes: equal weights have equal digests, whatever file they came from."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().view(torch.uint8).numpy().data if value.ndim else b"")
        digest.update(str(value.item()).encode() if not value.ndim else b"")
    return digest.hexdigest()
