"""Arrays of an .npz file of somebody else: numbers alone, and no more bytes than the file has for them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lineage.results.file_digest import find_damage


class FileError(ValueError):
    """A file that holds no weights or arrays; the message names it and the reason."""


def read_arrays(path: Path, names: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file, all or those of `names`. Raises FileError."""
    try:
        if damage := find_damage(path):
            raise FileError(f"{path} is damaged: {damage}")
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in (file.files if names is None else names)}
    except FileError:
        raise
    except MemoryError as error:  # a header that says more values than follow it
        raise FileError(f"{path} is damaged: {error}") from error
    except KeyError as error:
        raise FileError(f"{path} cannot be read: it has no array {error}") from error
    except Exception as error:  # zipfile, zlib and numpy raise a dozen types for damaged bytes
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise FileError(f"{path} cannot be read: {reason}") from error
