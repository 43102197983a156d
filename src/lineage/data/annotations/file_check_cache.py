"""Results of the check of image files before training, stored as long as the files and their folders do not change.

Adding, removing or renaming a file changes the time of its folder, writing into one its own size or time. Images
without defects are not opened again while all of these stay; with defects they are, until these are fixed.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from typing import Any

from lineage.data.annotations import content_hash, mmap_index, validate
from lineage.data.annotations.columns import Columns
from lineage.data.annotations.defects import Defect, Record
from lineage.data.annotations.paths import DatasetPaths


def find_file_defects(columns: Columns, paths: DatasetPaths, name: str) -> list[Defect]:
    """Return the defects of the image files; `name` distinguishes datasets that share a folder."""
    folder = paths.image_folder
    key = f"{folder.absolute()}\0{name}\0{paths.decoding}"
    memo = mmap_index.cache_folder() / f"{hashlib.sha256(os.fsencode(key)).hexdigest()[:32]}.seen"
    stored = content_hash.read_memo(memo)
    opened = columns.file_names.rows()[:: validate.find_stride(len(columns.image_ids))]
    digest, newest = digest_files(os.fsencode(folder), opened)
    folders = stored.get("folders") if isinstance(stored, dict) else None
    if isinstance(folders, dict) and folders and stored == remember(folders, digest):
        return []
    parents: set[str] = set()

    def iterate_records() -> Iterator[Record]:
        for record in columns.image_records():
            parents.add(record["file_name"].rstrip("/").rpartition("/")[0])
            yield record

    defects = list(validate.sample_image_files(iterate_records(), len(columns.image_ids), paths))
    memory = remember({os.path.join(folder, parent) for parent in parents}, digest)
    newest = max(newest, *memory["folders"].values(), 0)
    if not defects and newest < (time.time() - content_hash.SETTLED) * 1e9:
        content_hash.write_memo(memo, memory)
    return defects


def remember(folders: Iterable[str], digest: str) -> dict[str, Any]:
    """Return what is stored: the time of each folder, and the digest of the files."""
    return {"folders": content_hash.read_times(folders), "files": digest}


def digest_files(folder: bytes, names: Iterable[bytes]) -> tuple[str, int]:
    """Return a digest of the sizes and times of files, and the latest time in ns."""
    digest, newest = hashlib.sha256(), 0
    for name in names:
        try:
            stat = os.stat(os.path.join(folder, name))
        except (OSError, ValueError):  # missing, or no name of a file: the check says so
            digest.update(name + b"\0missing\n")
            continue
        digest.update(b"%b\0%d\0%d\n" % (name, stat.st_size, stat.st_mtime_ns))
        newest = max(newest, stat.st_mtime_ns)
    return digest.hexdigest(), newest
