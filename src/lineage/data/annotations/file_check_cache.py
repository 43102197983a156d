"""Results of the check of image files before training, stored as long as the folders of the images do not change.

Adding, removing or renaming a file changes the time of its folder, so a folder without defects is not checked again;
one with defects is checked every time, until they are fixed.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator

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
    if isinstance(stored, dict) and stored and stored == content_hash.read_times(stored):
        return []
    parents: set[str] = set()

    def iterate_records() -> Iterator[Record]:
        for record in columns.image_records():
            parents.add(record["file_name"].rstrip("/").rpartition("/")[0])
            yield record

    defects = list(validate.sample_image_files(iterate_records(), len(columns.image_ids), paths))
    times = content_hash.read_times({os.path.join(folder, parent) for parent in parents})
    if not defects and max(times.values(), default=0) < (time.time() - content_hash.SETTLED) * 1e9:
        content_hash.write_memo(memo, times)
    return defects
