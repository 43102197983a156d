"""Annotations parsed once: named columns of numbers in one file that every worker and rank maps into memory.

    line 1       lineage index <version> <bytes of the header> <crc32 of the header>
    header       JSON: what is told about the data, and of every column its dtype, shape, offset and checksum
    columns      little-endian, each at a multiple of 64 bytes

Opening costs a read of the header; pages of a column come from the page cache, shared by all processes, when they are
touched. A file is complete before it gets its name (a rename is atomic), builders wait for each other where the file
system has locks, and a file that is cut, of another version or damaged in its checked parts is made again.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import gc
import json
import logging
import math
import mmap
import os
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lineage.results.atomic import atomic_path, sweep

log = logging.getLogger(__name__)

VERSION = 1
MAGIC = b"lineage index"
ALIGNED = 64
EDGE = 4096  # bytes at both ends of a column that opening checks; `damage` checks all

Column = NDArray[Any]


class Index(NamedTuple):
    path: Path
    told: dict[str, Any]
    columns: dict[str, Column]


Made = tuple[dict[str, Any], Mapping[str, Column]]


def folder() -> Path:
    """$LINEAGE_CACHE/index or ~/.cache/lineage/index; where neither can be written, one in the temporary folder."""
    wanted = Path(os.environ.get("LINEAGE_CACHE") or Path.home() / ".cache" / "lineage", "index").expanduser()
    with contextlib.suppress(OSError):
        wanted.mkdir(parents=True, exist_ok=True)
        if os.access(wanted, os.W_OK):
            return wanted
    return spare(wanted)


@functools.cache  # to warn once
def spare(wanted: Path) -> Path:
    found = Path(tempfile.gettempdir(), f"lineage-{os.getuid()}", "index")
    found.mkdir(parents=True, exist_ok=True)
    log.warning("%s cannot be written, so the index of the annotations goes to %s; set LINEAGE_CACHE", wanted, found)
    return found


def opened(name: str, make: Callable[[], Made]) -> Index:
    """The index of that name, made now if there is none that can be used."""
    path = folder() / f"{name}.index"
    found = load(path)
    if found is None:
        with locked(path):
            found = load(path)  # another process may have made it meanwhile
            if found is None:
                with uncollected():
                    save(path, *make())
                found = load(path)
    if found is None:
        raise OSError(f"{path}: was written and cannot be read; is the disk full? Set LINEAGE_CACHE to another one.")
    return found


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """One builder at a time: others would parse the same gigabytes beside it. The kernel frees a dead one's lock."""
    with path.with_suffix(".lock").open("w") as file:
        with contextlib.suppress(OSError):  # a file system without locks: all build, the renames stay atomic
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Millions of records hold no cycles: looking for some as they grow takes a third of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def save(path: Path, told: dict[str, Any], columns: Mapping[str, Column]) -> None:
    """Write the index whole or not at all."""
    flat = {name: np.ascontiguousarray(column) for name, column in columns.items()}
    described, at = {}, 0
    for name, column in flat.items():
        described[name] = {"dtype": column.dtype.str, "shape": column.shape, "at": at, **checksums(_bytes(column))}
        at += -(-column.nbytes // ALIGNED) * ALIGNED
    header = json.dumps({"told": told, "columns": described, "bytes": at}).encode()
    line = b"%s %d %d %d\n" % (MAGIC, VERSION, len(header), zlib.crc32(header))
    sweep(path.parent)
    with atomic_path(path, durable=True) as temporary, temporary.open("wb") as file:
        file.write(line + header + bytes(-(len(line) + len(header)) % ALIGNED))
        for column in flat.values():
            file.write(_bytes(column))
            file.write(bytes(-column.nbytes % ALIGNED))


def load(path: Path) -> Index | None:
    """Map an index, or None if there is none that this version can use."""
    try:
        with path.open("rb") as file:
            head = _header(file.readline(64), file.read)
            if head is None:
                return None
            start = -(-file.tell() // ALIGNED) * ALIGNED
            if os.fstat(file.fileno()).st_size != start + head["bytes"]:
                return None
            # copy on write: shared until somebody writes, and torch takes writable arrays without complaint
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) if head["bytes"] else b""
    except OSError:
        return None
    columns = {name: _column(mapped, start, about) for name, about in head["columns"].items()}
    whole = all(_edges(_bytes(column)) == head["columns"][name]["edges"] for name, column in columns.items())
    return Index(path, head["told"], columns) if whole else None


def damage(index: Index) -> list[str]:
    """The columns whose content is not what was written; reads all of the file."""
    found = []
    with index.path.open("rb") as file:
        head = _header(file.readline(64), file.read) or {"columns": {}}
    for name, column in index.columns.items():
        if head["columns"].get(name, {}).get("all") != checksums(_bytes(column))["all"]:
            found.append(name)
    return found


def _header(line: bytes, read: Callable[[int], bytes]) -> dict[str, Any] | None:
    parts = line.removeprefix(MAGIC).split()
    if not line.startswith(MAGIC) or len(parts) != 3 or not all(part.isdigit() for part in parts):
        return None
    version, length, checksum = map(int, parts)
    if version != VERSION:
        return None
    text = read(length)
    head: dict[str, Any] | None = json.loads(text) if zlib.crc32(text) == checksum else None
    return head


def _column(mapped: Any, start: int, about: dict[str, Any]) -> Column:
    shape, dtype = tuple(about["shape"]), np.dtype(about["dtype"])
    count = math.prod(shape)
    if not count:
        return np.zeros(shape, dtype)
    return np.frombuffer(mapped, dtype, count, start + about["at"]).reshape(shape)


def _bytes(column: Column) -> memoryview:
    return column.reshape(-1).view(np.uint8).data


def checksums(content: memoryview) -> dict[str, int]:
    return {"edges": _edges(content), "all": zlib.crc32(content)}


def _edges(content: memoryview) -> int:
    return zlib.crc32(content[-EDGE:], zlib.crc32(content[:EDGE]))
