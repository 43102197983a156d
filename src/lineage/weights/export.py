"""Write our weights for another code base: its names, its layout, its file format."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from lineage.results.atomic import atomic_path
from lineage.weights.identify import OURS
from lineage.weights.pretrained import WeightsError
from lineage.weights.sources import detectron2, detectron2_variants, torchvision
from lineage.weights.sources.table import NameTable, to_theirs

TARGETS = {
    "torchvision": (torchvision.DETECTION,),
    "detectron2": (detectron2.PYRAMIDAL, detectron2.SINGLE, detectron2.DENSE, *detectron2_variants.TABLES),
}
SUFFIXES = (".pth", ".pt", ".pkl", ".safetensors")
SHOWN = 6  # names in a message


def convert_to(target: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Convert our tensors to the names and layout of `target`. Raises WeightsError if it has no such model."""
    converted, unknown = to_theirs(select_table(target, state), state)
    if lost := [name for name in unknown if not name.endswith("num_batches_tracked")]:
        names = ", ".join(lost[:SHOWN]) + (", ..." if len(lost) > SHOWN else "")
        raise WeightsError(f"{target} has no place for {len(lost)} of {len(state)} tensors: {names}")
    return converted


def select_table(target: str, state: dict[str, Tensor]) -> NameTable:
    """Return the table of a code base that has most of our tensors."""
    return max(TARGETS[target], key=lambda table: sum(table.their_name(name) is not None for name in state))


def save_weights(state: dict[str, Tensor], path: Path) -> None:
    """Write the weights in the format of the suffix."""
    if path.suffix not in SUFFIXES:
        raise WeightsError(f"{path}: the suffix determines the kind of file: {', '.join(SUFFIXES)}")
    tensors = {name: value.detach().cpu().clone().contiguous() for name, value in state.items()}
    with atomic_path(path) as temporary:
        temporary.touch()  # a place that takes no files is an error of the system, which names it
        if path.suffix == ".safetensors":
            save_file(tensors, temporary)
        elif path.suffix == ".pkl":  # detectron2's own kind: arrays, matched by their exact names
            content = {"model": {name: value.numpy() for name, value in tensors.items()}, "__author__": OURS}
            temporary.write_bytes(pickle.dumps(content, protocol=4))
        else:
            torch.save(tensors, temporary)
