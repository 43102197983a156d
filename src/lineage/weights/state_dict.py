"""State dicts as values: compare with a model, load the matching tensors, hash the content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

COUNTER = ".num_batches_tracked"  # of a batch norm that was trained; nothing depends on it


@dataclass(frozen=True, slots=True)
class StateMatch:
    """Comparison of a state dict with a model, by name and shape."""

    matching: dict[str, Tensor]
    missing: list[str]  # in the model, and not in the file
    unexpected: list[str]  # in the file, and not in the model
    mismatched: list[tuple[str, tuple[int, ...], tuple[int, ...]]]  # name, shape in the file, shape in the model


def match_state(model: nn.Module, state: dict[str, Tensor]) -> StateMatch:
    """Compare without loading. A tensor that has two names in the model may have either in the file."""
    own = model.state_dict()
    state = {name.removeprefix("model."): value for name, value in state.items()}
    state |= _add_shared_names(own, state)
    matching = {name: value for name, value in state.items() if name in own and own[name].shape == value.shape}
    mismatched = sorted(own.keys() & state.keys() - matching.keys())
    return StateMatch(
        matching,
        sorted(name for name in own.keys() - matching.keys() if not name.endswith(COUNTER)),
        sorted(name for name in state.keys() - own.keys() if not name.endswith(COUNTER)),
        [(name, tuple(state[name].shape), tuple(own[name].shape)) for name in mismatched],
    )


def _add_shared_names(own: dict[str, Tensor], state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the other names of tensors that the model shares between modules: C4's heads share conv5_x."""
    names: dict[tuple[int, torch.Size], list[str]] = {}
    for name, value in own.items():
        if value.numel() and not value.is_meta:
            names.setdefault((value.data_ptr(), value.shape), []).append(name)
    groups = [group for group in names.values() if len(group) > 1]
    return {
        name: state[source]
        for group in groups
        for source in [next((name for name in group if name in state), None)]
        if source is not None
        for name in group
        if name not in state
    }


def sha256(state: Mapping[str, Tensor]) -> str:
    """Hash names, types, shapes and bytes: equal weights have equal digests, whatever file they came from."""
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data if value.ndim else b"")
        digest.update(str(value.item()).encode() if not value.ndim else b"")
    return digest.hexdigest()
