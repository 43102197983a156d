"""A file of weights -> names and tensors, whatever wrote it; nothing in it is ever executed.

The kind is told by the first bytes, because model zoos agree on no suffix: `.pkl`, `.pth` and `.pt` each mean several.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import safetensors
import torch
from safetensors.torch import load_file
from torch import Tensor

from lineage.weights import caffemodel, safe_pickle

NESTED = ("model", "state_dict", "model_state_dict", "model_state", "blobs")  # where checkpoints keep their weights
TORCH_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # torch.save's magic number before it wrote zip files
ASKED = re.compile(r"GLOBAL ([\w.]+)")  # in torch's message: a class or function that is no tensor


class FileError(ValueError):
    """A file that holds no weights; the message names it and says why."""


def read(path: Path) -> dict[str, Tensor]:
    """Names as the file has them. Raises FileError, or UnsafePickle for a pickle that is more than data."""
    try:
        found = flat(_content(path))
    except (FileError, safe_pickle.UnsafePickle):
        raise
    except (OSError, RuntimeError, ValueError, UnpicklingError, EOFError, zipfile.BadZipFile,
            safetensors.SafetensorError) as error:  # fmt: skip
        reason = str(error).partition("\n")[0]
        raise FileError(f"{path}: not a file of weights, or cut off ({reason})") from error
    if not found:
        raise FileError(f"{path} holds no state dict (a dict of tensors)")
    return found


def digest(path: Path) -> str:
    """sha256 of the bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _content(path: Path) -> Any:
    with path.open("rb") as file:
        head = file.read(16)
    if not head:
        raise FileError(f"{path} is empty: fetch it again")
    if head.lstrip()[:1] == b"<":
        raise FileError(
            f"{path} is a web page, not weights: its address shows a page about the file, or asks for a login. "
            "Take the address that a browser downloads from, delete this file and start again"
        )
    if head[:2] == b"PK":
        if path.suffix == ".npz" or "data.pkl" not in {Path(name).name for name in zipfile.ZipFile(path).namelist()}:
            return dict(np.load(path, allow_pickle=False))
        return _torch(path)
    if head.startswith(TORCH_LEGACY):
        return _torch(path)
    if head[:1] == b"\x80" or path.suffix == ".pkl":
        return safe_pickle.load(path)
    if head[8:9] == b"{":  # the length of a header, then the header, in JSON
        return load_file(path)
    if path.suffix == ".caffemodel":
        return caffemodel.read(path.read_bytes())
    raise FileError(f"{path}: not a file of weights, or cut off (it begins with {head[:8]!r})")


def _torch(path: Path) -> Any:
    """Tensors alone; the message that torch has would advise to run what else is in the file."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        if (asked := ASKED.search(str(error))) is None:
            raise FileError(f"{path}: not a file of weights, or damaged") from error
        raise safe_pickle.UnsafePickle(
            f"{path}: not read, because it asks for {asked[1]}. A file of weights holds tensors; nothing of it was "
            "run. If you trust it, load it where it came from and save those: torch.save(model.state_dict(), path)"
        ) from error


def flat(content: Any) -> dict[str, Tensor]:
    """The innermost dict of arrays; `{"conv1": {"weights": w}}` becomes `conv1.weights`."""
    while isinstance(content, dict) and (inner := next((key for key in NESTED if _is_dict(content.get(key))), None)):
        content = content[inner]
    found: dict[str, Tensor] = {}
    for name, value in content.items() if isinstance(content, dict) else ():
        if isinstance(value, dict):
            found.update({f"{name}.{leaf}": one for leaf, one in flat(value).items()})
        elif isinstance(value, Tensor):
            found[str(name)] = value.detach()
        elif isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
            found[str(name)] = torch.from_numpy(np.array(value))  # a copy that torch may write to
    return found


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict) and bool(value)
