"""Untrusted pickles, read without executing them: numbers, text, containers and numpy arrays, nothing else.

A pickle is a program. What it may call is the list ALLOWED; anything else raises UnsafePickle before it is called, so
`os.system` in a model file ends in an error message.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


class UnsafePickle(ValueError):
    """A pickle that holds more than data, or bytes that are no pickle."""


def _reconstruct(kind: type, shape: tuple[int, ...], _code: bytes) -> np.ndarray:
    """Create the empty array that numpy writes before an array's state; replaces numpy's function."""
    if kind is not np.ndarray or tuple(shape) != (0,):
        raise pickle.UnpicklingError(f"an array of kind {kind} and shape {shape} is not what numpy writes")
    return np.ndarray.__new__(np.ndarray, (0,), "b")


def _scalar(kind: np.dtype, content: bytes) -> Any:
    if kind.hasobject:
        raise pickle.UnpicklingError("a scalar that holds an object")
    return np.frombuffer(_encode(content) if isinstance(content, str) else content, kind, 1)[0]


def _frombuffer(content: bytes | bytearray, kind: np.dtype, shape: tuple[int, ...], order: str) -> np.ndarray:
    """Create an array of pickle protocol 5."""
    if kind.hasobject:
        raise pickle.UnpicklingError("an array that holds objects")
    return np.frombuffer(content, kind).reshape(shape, order="F" if order == "F" else "C")


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """Create bytes, which pickles of protocol 2 write as text."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes written as {encoding}")
    return text.encode("latin1")


ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _encode,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("builtins", "set"): set,
    ("builtins", "bytearray"): bytearray,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _reconstruct for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _frombuffer for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
}


class DataUnpickler(pickle.Unpickler):
    """Unpickler that resolves the names in ALLOWED alone."""

    def find_class(self, module: str, name: str) -> Any:
        function = ALLOWED.get(("builtins" if module == "__builtin__" else module, name))
        if function is None:
            raise pickle.UnpicklingError(f"it calls {module}.{name}")
        return function

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError(f"it refers to something outside the file ({pid!r})")


def load_pickle(path: Path) -> Any:
    """Return the data in a pickle. Raises UnsafePickle if it is more than data, or damaged."""
    try:
        # latin1 reads pickles written by Python 2
        return DataUnpickler(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    except (pickle.UnpicklingError, EOFError, IndexError, KeyError, ValueError, TypeError, AttributeError,
            MemoryError, OverflowError, ImportError) as error:  # fmt: skip
        raise UnsafePickle(
            f"{path}: not read, because {error or 'it is damaged'}. A model file holds arrays only; nothing of it was "
            "run. If you trust it, load it where it came from and save its arrays: numpy.savez(path, **arrays)"
        ) from error
