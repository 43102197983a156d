"""Read a file of weights of any format into names and tensors; nothing in it is ever executed.

The first bytes determine the format, because suffixes are ambiguous: `.pkl`, `.pth` and `.pt` each mean several.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from lineage.results.file_digest import find_damage
from lineage.weights import caffemodel, safe_pickle
from lineage.weights.arrays import FileError, read_arrays

NESTED = (
    "model",
    "state_dict",
    "model_state_dict",
    "model_state",
    "blobs",
)  # keys of checkpoints with the weights
TORCH_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # torch.save's magic number before it wrote zip files
MOST_VALUES = 100_000
DEEPEST = 100  # dicts within dicts
REFUSED = re.compile(r"GLOBAL ([\w.]+)")  # in torch's message: a class or function other than a tensor


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return tensors by the names of the file. Raises FileError, or UnsafePickle if a pickle is more than data."""
    if damage := find_damage(path):
        raise FileError(f"{path} is damaged: {damage}. Fetch it again, or take another checkpoint of the run")
    try:
        tensors = flatten(_read_content(path))
    except FileError as error:
        raise error if str(path) in str(error) else FileError(f"{path}: {error}") from error
    except safe_pickle.UnsafePickle:
        raise
    except Exception as error:  # the libraries raise what they meet in damaged bytes, an AssertionError or IndexError
        reason = str(error).partition("\n")[0]
        raise FileError(f"{path}: not a file of weights, or cut off ({reason})") from error
    if not tensors:
        raise FileError(
            f"{path} holds no state dict (a dict of tensors); a run of a model without weights, such as "
            "model=frame_average, leaves none"
        )
    return tensors


def _read_content(path: Path) -> Any:
    with path.open("rb") as file:
        head = file.read(16)
    if not head:
        raise FileError(f"{path} is empty: fetch it again")
    if head.lstrip()[:1] == b"<":
        raise FileError(
            f"{path} is a web page, not weights: its address leads to a page about the file, or to a login. "
            "Take the address that a browser downloads from, delete this file and start again"
        )
    if head[:2] == b"PK":
        if path.suffix == ".npz" or "data.pkl" not in {Path(name).name for name in zipfile.ZipFile(path).namelist()}:
            return read_arrays(path)
        return _read_torch(path)
    if head.startswith(TORCH_LEGACY):
        return _read_torch(path)
    if head[:1] == b"\x80" or path.suffix == ".pkl":
        return safe_pickle.load_pickle(path)
    if head[8:9] == b"{":  # the length of a header, then the header, in JSON
        return load_file(path)
    if path.suffix == ".caffemodel":
        return caffemodel.read_blobs(path.read_bytes())
    raise FileError(f"{path}: not a file of weights, or cut off (it begins with {head[:8]!r})")


def _read_torch(path: Path) -> Any:
    """Read tensors alone. Replaces torch's error, which advises to execute the file."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        if (refused := REFUSED.search(str(error))) is None:
            raise FileError(f"{path}: not a file of weights, or damaged") from error
        raise safe_pickle.UnsafePickle(
            f"{path}: not read, because it calls {refused[1]}. A file of weights holds tensors; nothing of it was "
            "run. If you trust it, load it where it came from and save those: torch.save(model.state_dict(), path)"
        ) from error


def flatten(content: Any) -> dict[str, Tensor]:
    """Return the innermost dict of arrays; `{"conv1": {"weights": w}}` becomes `conv1.weights`.

    Raises FileError if a dict holds itself, or if dicts that share others hold more values than any network has.
    """
    tensors: dict[str, Tensor] = {}
    for count, (name, value) in enumerate(_iter_values(content, "", ())):
        if count > MOST_VALUES:
            raise FileError(f"it holds more than {MOST_VALUES:,} values, as no network does")
        if isinstance(value, Tensor):
            tensors[name] = value.detach()
        elif isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
            tensors[name] = torch.from_numpy(np.array(value))  # a copy that torch may write to
    return tensors


def _iter_values(content: Any, prefix: str, outer: tuple[int, ...]) -> Iterator[tuple[str, Any]]:
    """Yield values by dotted name, dicts as None: they count as well. `outer`: identities of the dicts around."""
    while isinstance(content, dict):
        if id(content) in outer or len(outer) > DEEPEST:
            raise FileError("a dict in it holds itself" if id(content) in outer else "its dicts are nested too deeply")
        outer = (*outer, id(content))
        inner = next((key for key in NESTED if _is_dict(content.get(key))), None)
        if inner is None:
            break
        content = content[inner]
    for key, value in content.items() if isinstance(content, dict) else ():
        yield f"{prefix}{key}", None if isinstance(value, dict) else value
        if isinstance(value, dict):
            yield from _iter_values(value, f"{prefix}{key}.", outer)


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict) and bool(value)
