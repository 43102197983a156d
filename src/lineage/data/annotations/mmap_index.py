"""Index of parsed annotations: named columns of numbers in one file that every worker and rank maps into memory.

    line 1       lineage index <version> <bytes of the header> <crc32 of the header>
    header       JSON: the dataset's metadata ("told"), and the dtype, shape, offset and checksums of every column
    columns      little-endian, each at a multiple of 64 bytes

Opening reads the header; pages of a column come from the page cache, shared by all processes, when they are touched. A
file is complete before it gets its name (a rename is atomic), builders wait for each other where the file system has
locks, and a file that is cut, of another version or damaged in its checked parts is built again.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import logging
import math
import mmap
import os
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lineage.results.atomic import atomic_path, sweep
from lineage.results.garbage_collection import pause_collection

log = logging.getLogger(__name__)

VERSION = 1
MAGIC = b"lineage index"
ALIGNED = 64
EDGE = 4096  # bytes at both ends of a column that opening checks; `find_damage` checks all

Column = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Index:
    """An index in memory; its columns are views of the mapped file."""

    path: Path
    metadata: dict[str, Any]
    columns: dict[str, Column]


IndexContent = tuple[dict[str, Any], Mapping[str, Column]]  # metadata, columns


def cache_folder() -> Path:
    """Return $LINEAGE_CACHE/index or ~/.cache/lineage/index; a temporary folder if that cannot be written."""
    folder = Path(os.environ.get("LINEAGE_CACHE") or Path.home() / ".cache" / "lineage", "index").expanduser()
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    return create_temporary_folder(folder)


@functools.cache  # to warn once
def create_temporary_folder(unwritable: Path) -> Path:
    folder = Path(tempfile.gettempdir(), f"lineage-{os.getuid()}", "index")
    folder.mkdir(parents=True, exist_ok=True)
    log.warning(
        "%s cannot be written, so the index of the annotations goes to %s; set LINEAGE_CACHE", unwritable, folder
    )
    return folder


def load_or_build(
    name: str, build: Callable[[], IndexContent], is_current: Callable[[Index], bool] = lambda index: True
) -> Index:
    """Return the index of this name; build it if there is none that can be used and is current."""
    path = cache_folder() / f"{name}.index"
    index = load_index(path)
    if index is None or not is_current(index):
        with lock_builders(path):
            index = load_index(path)  # another process may have built it meanwhile
            if index is None or not is_current(index):
                with pause_collection():
                    save_index(path, *build())
                index = load_index(path)
    if index is None:
        raise OSError(f"{path}: was written and cannot be read; is the disk full? Set LINEAGE_CACHE to another one.")
    return index


@contextlib.contextmanager
def lock_builders(path: Path) -> Iterator[None]:
    """Let one process build at a time: others would parse the same gigabytes. The kernel frees a dead one's lock."""
    with path.with_suffix(".lock").open("w") as file:
        with contextlib.suppress(OSError):  # a file system without locks: all build, the renames stay atomic
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def save_index(path: Path, metadata: dict[str, Any], columns: Mapping[str, Column]) -> None:
    """Write the index whole or not at all."""
    # 1. Describe the columns, each aligned; offsets count from the end of the header.
    flat = {name: np.ascontiguousarray(column) for name, column in columns.items()}
    layout, offset = {}, 0
    for name, column in flat.items():
        layout[name] = {"dtype": column.dtype.str, "shape": column.shape, "at": offset, **checksums(_bytes(column))}
        offset += -(-column.nbytes // ALIGNED) * ALIGNED
    header = json.dumps({"told": metadata, "columns": layout, "bytes": offset}).encode()
    line = b"%s %d %d %d\n" % (MAGIC, VERSION, len(header), zlib.crc32(header))
    # 2. Write the header and the columns; files that killed builders left are removed first.
    sweep(path.parent)
    with atomic_path(path, durable=True) as temporary, temporary.open("wb") as file:
        file.write(line + header + bytes(-(len(line) + len(header)) % ALIGNED))
        for column in flat.values():
            file.write(_bytes(column))
            file.write(bytes(-column.nbytes % ALIGNED))


def load_index(path: Path) -> Index | None:
    """Map an index into memory; return None if there is none that this version can use."""
    try:
        with path.open("rb") as file:
            header = _read_header(file.readline(64), file.read)
            if header is None:
                return None
            start = -(-file.tell() // ALIGNED) * ALIGNED
            if os.fstat(file.fileno()).st_size != start + header["bytes"]:
                return None
            # copy on write: shared until a process writes, and torch takes writable arrays without a warning
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) if header["bytes"] else b""
    except OSError:
        return None
    layout = header["columns"]
    columns = {name: _map_column(mapped, start, entry) for name, entry in layout.items()}
    is_whole = all(_edge_checksum(_bytes(column)) == layout[name]["edges"] for name, column in columns.items())
    return Index(path, header["told"], columns) if is_whole else None


def find_damage(index: Index) -> list[str]:
    """Return the names of columns whose content differs from what was written; reads the whole file."""
    with index.path.open("rb") as file:
        header = _read_header(file.readline(64), file.read) or {"columns": {}}
    layout = header["columns"]
    return [
        name
        for name, column in index.columns.items()
        if layout.get(name, {}).get("all") != checksums(_bytes(column))["all"]
    ]


def _read_header(line: bytes, read: Callable[[int], bytes]) -> dict[str, Any] | None:
    parts = line.removeprefix(MAGIC).split()
    if not line.startswith(MAGIC) or len(parts) != 3 or not all(part.isdigit() for part in parts):
        return None
    version, length, checksum = map(int, parts)
    if version != VERSION:
        return None
    text = read(length)
    header: dict[str, Any] | None = json.loads(text) if zlib.crc32(text) == checksum else None
    return header


def _map_column(mapped: Any, start: int, entry: dict[str, Any]) -> Column:
    shape, dtype = tuple(entry["shape"]), np.dtype(entry["dtype"])
    count = math.prod(shape)
    if not count:
        return np.zeros(shape, dtype)
    return np.frombuffer(mapped, dtype, count, start + entry["at"]).reshape(shape)


def _bytes(column: Column) -> memoryview:
    return column.reshape(-1).view(np.uint8).data


def checksums(content: memoryview) -> dict[str, int]:
    return {"edges": _edge_checksum(content), "all": zlib.crc32(content)}


def _edge_checksum(content: memoryview) -> int:
    return zlib.crc32(content[-EDGE:], zlib.crc32(content[:EDGE]))
