"""Files of weights for the fuzz: those with checksums are the original or refused, others read as by their library."""

from __future__ import annotations

import io
import json
import pickle
import random
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from benchmarks.robustness.fuzz import Wrong
from benchmarks.robustness.mutations import damage_bytes, damage_tree
from torch import Tensor

from lineage.weights.readers import read_tensors

SUFFIXES = (".pt", ".pth", ".safetensors", ".npz", ".pkl")
CHECKED = (".pt", ".npz")  # zip files, with a checksum of each part


class Weights:
    """A state dict of five tensors in five formats; the first byte of an input is the number of its format."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        chance = torch.Generator().manual_seed(0)
        shapes = {"conv.weight": (4, 3, 3, 3), "conv.bias": (4,), "fc.weight": (5, 4), "fc.bias": (5,), "steps": ()}
        self.state = {name: torch.rand(shape, generator=chance) for name, shape in shapes.items()}
        arrays = {name: tensor.numpy() for name, tensor in self.state.items()}
        legacy, zipped, packed = io.BytesIO(), io.BytesIO(), io.BytesIO()
        torch.save(self.state, zipped)
        torch.save(self.state, legacy, _use_new_zipfile_serialization=False)
        np.savez(packed, **arrays)
        self.files = [
            zipped.getvalue(), legacy.getvalue(), safetensors.torch.save(self.state), packed.getvalue(),
            pickle.dumps({"model": arrays, "__author__": "x"}),
        ]  # fmt: skip

    def damage(self, chance: random.Random) -> bytes:
        number = chance.randrange(len(self.files))
        data = self.files[number]
        if SUFFIXES[number] == ".safetensors" and chance.random() < 0.6:
            length = int.from_bytes(data[:8], "little")
            header = json.dumps(damage_tree(json.loads(data[8 : 8 + length]), chance)).encode()
            data = len(header).to_bytes(8, "little") + header + data[8 + length :]
        else:
            data = damage_bytes(data, chance)
        return bytes([number]) + data

    def read(self, data: bytes) -> None:
        suffix, data = SUFFIXES[data[0]], data[1:]
        path = self.folder / f"weights{suffix}"
        path.write_bytes(data)
        tensors = read_tensors(path)
        if not all(isinstance(name, str) for name in tensors):
            raise Wrong(f"names {list(tensors)}")
        if suffix in CHECKED:
            compare(tensors, self.state, suffix)
        elif suffix == ".safetensors":
            compare(tensors, safetensors.torch.load(data), suffix)
        elif suffix == ".pth":
            compare(tensors, torch.load(io.BytesIO(data), map_location="cpu", weights_only=True), suffix)


def compare(ours: dict[str, Tensor], theirs: dict[str, Tensor], suffix: str) -> None:
    """Raise Wrong unless names, types and bytes are the same; NaN equals NaN."""
    names = {name for name, tensor in theirs.items() if isinstance(tensor, Tensor)}
    if set(ours) != names:
        raise Wrong(f"{suffix}: names {sorted(ours)}, not {sorted(names)}")
    for name in names:
        if ours[name].dtype != theirs[name].dtype or not np.array_equal(
            ours[name].contiguous().flatten().view(torch.uint8).numpy(),
            theirs[name].contiguous().flatten().view(torch.uint8).numpy(),
        ):
            raise Wrong(f"{suffix}: {name} has other bytes")
