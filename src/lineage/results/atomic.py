"""Files that appear whole or not at all: written beside their target under a temporary name, then renamed over it.

A writer that is killed leaves at most a temporary file `.writing-*`; a reader sees the old file or the new one.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TEMPORARY = ".writing-"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # errors of writing, which name no file
ABANDONED = 3600.0  # seconds: the writer of an older temporary file has been killed

Content = str | bytes | Callable[[Path], object]


def atomic_write(path: Path, content: Content, *, durable: bool = False, exclusive: bool = False) -> None:
    """Write a file whole or not at all. Creates its folder if it is missing.

    content: a text (UTF-8), bytes, or a function that writes the file whose path it is given (of the same suffix).
    durable: return after the file and its name are on disk, so that they survive a power failure.
    exclusive: raise FileExistsError if there is a file of this name, instead of replacing it.
    """
    with atomic_path(path, durable=durable, exclusive=exclusive) as temporary:
        if callable(content):
            content(temporary)
        else:
            temporary.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def atomic_path(path: Path, *, durable: bool = False, exclusive: bool = False) -> Iterator[Path]:
    """Yield a temporary path to write to. It becomes `path` at the end of the block, and is removed on an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{TEMPORARY}{os.urandom(4).hex()}-{path.name[-100:]}")  # names end at 255 bytes
    try:
        yield temporary
        publish(temporary, path, durable=durable, exclusive=exclusive)
    except OSError as error:
        if error.filename == str(temporary) or (error.filename is None and error.errno in FULL):
            error.filename = str(path)  # the file that a person knows
        raise
    finally:
        temporary.unlink(missing_ok=True)


def read_mapping(path: Path) -> dict[str, Any]:
    """Return the mapping that a JSON file of ours holds; {} if there is no file, or its content is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def publish(temporary: Path, path: Path, *, durable: bool = False, exclusive: bool = False) -> None:
    """Give a complete file of the same folder its name."""
    if durable:  # a rename may reach the disk before the bytes do
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
    if exclusive:
        _link(temporary, path)
    else:
        os.replace(temporary, path)
    if durable:
        _sync_names(path.parent)


def sweep(folder: Path, age: float = ABANDONED) -> None:
    """Remove the temporary files that killed writers left in a folder: those of `age` seconds or more."""
    for path in folder.glob(f"{TEMPORARY}*"):
        try:
            if time.time() - path.stat().st_mtime >= age:
                path.unlink()
        except FileNotFoundError:
            continue  # another writer has removed it


def _link(temporary: Path, path: Path) -> None:
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError as error:  # a file system without hard links: no other way is both atomic and exclusive
        if path.exists():
            raise FileExistsError(error.errno, "File exists", str(path)) from None
        os.rename(temporary, path)


def _sync_names(folder: Path) -> None:
    if os.name == "nt":  # opens no folders
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
