"""A folder of the store without opening its files: `.index.json` keeps what tables need of each entry.

An entry is never changed, so its path, size and time of writing say whether the index still knows it. The index is
only a copy: it is replaced in one step (two writers cost work, never truth), may be deleted, and is not needed where
the folder cannot be written. Config and diff, nine tenths of an entry, stay in its file.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

from lineage.tables import store
from lineage.tables.entry import VERSION, Entry
from lineage.tables.store import Contents, Damage, StoreError

NAME = ".index.json"
LEFT_OUT = ("config", "diff")  # of the indexed entries
FIELDS = [field.name for field in fields(Entry) if field.name not in LEFT_OUT]
SHAPE = [VERSION, *FIELDS]  # an index of another lineage is rebuilt

Known = dict[str, list[Any]]  # path below the folder -> [mtime in ns, size, values of FIELDS]


def contents(folder: Path | str) -> Contents:
    """As store.contents, without the configs: everything at or below `folder`, oldest first."""
    folder = Path(folder)
    known, held, damaged = _load(folder), {}, []
    for path, stamp in sorted(_stamps(folder), key=lambda found: found[0].rpartition("/")[2]):
        cached = known.get(path)
        if cached is not None and cached[:2] == stamp:
            held[path] = cached
            continue
        try:
            held[path] = [*stamp, _short(store.read(folder / path))]
        except StoreError as error:
            damaged.append(Damage(folder / path, str(error).removeprefix(f"{folder / path}: ")))
    if held != known:
        _save(folder, held)
    return Contents([_entry(values) for *_, values in held.values()], damaged)


def _stamps(folder: Path, below: str = "") -> Iterator[tuple[str, list[int]]]:
    """(path, [mtime, size]) of every entry's file."""
    if not (folder / below).is_dir():
        return
    with os.scandir(folder / below) as found:
        for item in found:
            if item.name.startswith("."):
                continue
            if item.is_dir():
                yield from _stamps(folder, f"{below}{item.name}/")
            elif item.name.endswith(".json"):
                with suppress(FileNotFoundError):
                    told = item.stat()
                    yield below + item.name, [told.st_mtime_ns, told.st_size]


def _load(folder: Path) -> Known:
    """Nothing is known where the index is absent, cut off, or of another shape."""
    try:
        record = json.loads((folder / NAME).read_text(encoding="utf-8"))
        known: Known = record["entries"] if record["shape"] == SHAPE else {}
        return known
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _save(folder: Path, held: Known) -> None:
    temporary = folder / f".index-{secrets.token_hex(4)}"
    with suppress(OSError):  # a store that is read-only is read without an index
        try:
            temporary.write_text(json.dumps({"shape": SHAPE, "entries": held}), encoding="utf-8")
            os.replace(temporary, folder / NAME)
        finally:
            temporary.unlink(missing_ok=True)


def _short(entry: Entry) -> list[Any]:
    return [getattr(entry, name) for name in FIELDS]


def _entry(values: list[Any]) -> Entry:
    return Entry(**dict(zip(FIELDS, values, strict=True)), config={})
