"""Content hashes of annotation files: a touched or copied file keeps its index, a changed one gets a new index.

Hashing gigabytes at every start would take longer than everything else, so a digest is stored together with the size,
modification time and inode of each file, and computed again only if one of these has changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lineage.data.annotations import mmap_index
from lineage.results.atomic import atomic_write

SETTLED = 2.0  # seconds: a file younger than that may change again within the resolution of its time


def hash_files(files: Sequence[Path], root: Path) -> str:
    """Return the sha256 over the files' paths inside `root` and their contents, stored from an earlier call or new."""
    stat_digest, newest = digest_stats(files)
    name = hashlib.sha256(os.fsencode(root.absolute()) + stat_digest).hexdigest()[:32]
    memo = mmap_index.cache_folder() / f"{name}.source"
    stored = read_memo(memo)
    if isinstance(stored, str):
        return stored
    digest = hash_contents(files, root)
    if newest < time.time() - SETTLED:
        write_memo(memo, digest)
    return digest


def digest_stats(files: Sequence[Path]) -> tuple[bytes, float]:
    """Return a digest of the names, sizes, times and inodes, and the latest time."""
    digest, newest = hashlib.sha256(), 0.0
    for file in files:
        try:
            stat = os.stat(file)
        except FileNotFoundError:  # the format's reader names the image that needs it
            digest.update(f"{file}\0missing\n".encode(errors="surrogateescape"))
            continue
        digest.update(f"{file}\0{stat.st_size}\0{stat.st_mtime_ns}\0{stat.st_ino}\n".encode(errors="surrogateescape"))
        newest = max(newest, stat.st_mtime, stat.st_ctime)
    return digest.digest(), newest


def hash_contents(files: Sequence[Path], root: Path) -> str:
    digest = hashlib.sha256()
    for file in files:
        content_digest = "missing"
        with contextlib.suppress(FileNotFoundError), file.open("rb") as content:
            content_digest = hashlib.file_digest(content, "sha256").hexdigest()
        digest.update(f"{os.path.relpath(file, root)}\0{content_digest}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def read_times(folders: Iterable[Path | str]) -> dict[str, int]:
    """Return the time of the last change of each folder, in ns; -1 if it does not exist."""
    return {str(folder): os.stat(folder).st_mtime_ns if os.path.isdir(folder) else -1 for folder in folders}


def read_memo(memo: Path) -> Any:
    """Return the stored value; None if there is none or it cannot be read."""
    try:
        return json.loads(memo.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def write_memo(memo: Path, value: Any) -> None:
    atomic_write(memo, json.dumps(value))
