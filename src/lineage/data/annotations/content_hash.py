"""What an index was made from, recognised by content: a touched or copied file makes nothing new, a changed one does.

Hashing gigabytes at every start would take longer than everything else, so a digest is remembered together with the
size, modification time and inode of each file, and asked for again only where one of these has changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lineage.data.annotations import mmap_index
from lineage.results.atomic import atomic_write

SETTLED = 2.0  # seconds: a file younger than that may change again within the resolution of its time


def digest(files: Sequence[Path], root: Path) -> str:
    """sha256 over the files' names inside `root` and their contents."""
    stamp, newest = stamped(files)
    memo = mmap_index.folder() / f"{hashlib.sha256(os.fsencode(root.absolute()) + stamp).hexdigest()[:32]}.source"
    remembered = read(memo)
    if isinstance(remembered, str):
        return remembered
    found = hashed(files, root)
    if newest < time.time() - SETTLED:
        write(memo, found)
    return found


def stamped(files: Sequence[Path]) -> tuple[bytes, float]:
    """A digest of the names, sizes, times and inodes, and the latest time."""
    told, newest = hashlib.sha256(), 0.0
    for file in files:
        try:
            about = os.stat(file)
        except FileNotFoundError:  # the format's reader says which image needs it
            told.update(f"{file}\0missing\n".encode(errors="surrogateescape"))
            continue
        told.update(f"{file}\0{about.st_size}\0{about.st_mtime_ns}\0{about.st_ino}\n".encode(errors="surrogateescape"))
        newest = max(newest, about.st_mtime, about.st_ctime)
    return told.digest(), newest


def hashed(files: Sequence[Path], root: Path) -> str:
    together = hashlib.sha256()
    for file in files:
        inside = "missing"
        with contextlib.suppress(FileNotFoundError), file.open("rb") as content:
            inside = hashlib.file_digest(content, "sha256").hexdigest()
        together.update(f"{os.path.relpath(file, root)}\0{inside}\n".encode(errors="surrogateescape"))
    return together.hexdigest()


def read(memo: Path) -> Any:
    """What was remembered; None if nothing was or it cannot be read."""
    try:
        return json.loads(memo.read_bytes())
    except (OSError, ValueError):
        return None


def write(memo: Path, told: Any) -> None:
    atomic_write(memo, json.dumps(told))
