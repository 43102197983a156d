"""The look at the image files before training, remembered while the folders they lie in stay as they were.

A file that is added, removed or renamed changes the time of its folder, so a folder that was found complete needs no
second look; one with defects is looked at every time, until they are gone.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from lineage.data.annotations import content_hash, mmap_index, validate
from lineage.data.annotations.defects import Defect, Record


def sampled(record: Callable[[int], Record], count: int, folder: Path, name: str) -> list[Defect]:
    """The defects of the image files; `name` tells datasets apart that share a folder."""
    told = f"{folder.absolute()}\0{name}"
    memo = mmap_index.folder() / f"{hashlib.sha256(os.fsencode(told)).hexdigest()[:32]}.seen"
    remembered = content_hash.read(memo)
    if isinstance(remembered, dict) and remembered and remembered == times(remembered):
        return []
    folders: set[str] = set()

    def records() -> Iterator[Record]:
        for i in range(count):
            one = record(i)
            folders.add(str((folder / one["file_name"]).parent))
            yield one

    found = list(validate.sampled(records(), count, folder))
    now = times(folders)
    if not found and max(now.values(), default=0) < (time.time() - content_hash.SETTLED) * 1e9:
        content_hash.write(memo, now)
    return found


def times(folders: set[str] | dict[str, int]) -> dict[str, int]:
    """When each was last changed; -1 for one that is gone."""
    return {one: os.stat(one).st_mtime_ns if os.path.isdir(one) else -1 for one in folders}
