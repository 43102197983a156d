"""A folder of the store without opening its files: `.index.json` keeps what tables need of each entry.

An entry never changes, so its path, size and time of writing identify it. The index is a copy: it is replaced in one
step, so two writers cost time but no entry; it may be deleted, and it is left out if the folder cannot be written.
Fields that tables do not show, nine tenths of an entry, stay in its file.

A file that is not in the index is read up to its config, which stands last, and at its end, to detect a file that was
cut off; `lineage store verify` reads every byte.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from lineage.results import entry as entries
from lineage.results import store
from lineage.results.atomic import atomic_write
from lineage.results.entry import VERSION, Entry, EntryError
from lineage.results.garbage_collection import freeze_until_exit, pause_collection
from lineage.results.overrides import has_former_name
from lineage.results.renames import choices_today
from lineage.results.renames_table import fingerprint
from lineage.results.store import Contents, Damage, StoreError

NAME = ".index.json"
FIELDS = ("id", "table", "row", "tier", "status", "error", "metrics", "deviations", "seed", "config_digest",
          "training_digest", "cell_digest", "evaluation_digest", "commit", "dataset", "choices", "seconds", "steps",
          "processes", "step_seconds", "image_ms", "peak_memory", "parameters", "macs", "dirty",
          "supersedes", "origin")  # fmt: skip
SHAPE = [VERSION, fingerprint(), *FIELDS]  # an index of another lineage is rebuilt
HEAD = 8192  # bytes: what stands before the config is 3 kB
CONFIG, END = b',\n "config": {', b"\n}\n"  # as entry.dump writes them
DEFAULTS = {field.name: field.default for field in fields(Entry) if field.default is not MISSING} | {
    field.name: field.default_factory() for field in fields(Entry) if field.default_factory is not MISSING
}
NAMES = {field.name for field in fields(Entry)}
REQUIRED = {name for name in FIELDS if name not in DEFAULTS}
BLANK = dict.fromkeys(NAMES) | DEFAULTS  # what an indexed entry says of the other fields

Index = dict[str, list[Any]]  # path below the folder -> [mtime in ns, size, values of FIELDS]


def contents(folder: Path | str) -> Contents:
    """Return the same as store.contents, oldest first; entries have the values of FIELDS alone."""
    folder = Path(folder)
    with pause_collection():
        before, index, damaged = _load(folder), {}, []
        for path, stamp in sorted(_stamps(folder), key=lambda item: item[0].rpartition("/")[2]):
            cached = before.get(path)
            if cached is not None and cached[:2] == stamp:
                index[path] = cached
                continue
            try:
                index[path] = [*stamp, _read(f"{folder}/{path}")]
            except StoreError as error:
                damaged.append(Damage(folder / path, str(error)))
        if index != before:
            _save(folder, index)
        entries = [_entry(values) for *_, values in index.values()]
        freeze_until_exit()  # none of them becomes garbage
        return Contents(entries, damaged)


def _stamps(folder: Path, below: str = "") -> Iterator[tuple[str, list[int]]]:
    """Yield (path, [mtime, size]) of every entry's file."""
    if not (folder / below).is_dir():
        return
    with os.scandir(folder / below) as items:
        for item in items:
            if item.name.startswith("."):
                continue
            if item.is_dir():
                yield from _stamps(folder, f"{below}{item.name}/")
            elif item.name.endswith(".json"):
                with suppress(FileNotFoundError):
                    status = item.stat()
                    yield below + item.name, [status.st_mtime_ns, status.st_size]


def _read(path: str) -> list[Any]:
    """Read the values of FIELDS from an entry's file."""
    try:
        record = _head(path)
        if record is not None:
            entries.check(record)
            entries.check_fields(record)
        if record is None or has_former_name(record["deviations"]):
            record = dict(vars(store.read(path)))
        record["choices"] = choices_today(record["choices"])
    except (EntryError, OSError) as error:
        raise StoreError(str(error)) from error
    except StoreError as error:
        raise StoreError(str(error).removeprefix(f"{path}: ")) from error
    if f"{record.get('id')}.json" != path.rpartition("/")[2]:
        raise StoreError(f"holds entry {record.get('id')}; an entry's file is named after its id")
    return [record.get(name, DEFAULTS.get(name)) for name in FIELDS]


def _head(path: str) -> dict[str, Any] | None:
    """Return the fields before the config, or None if the file is not as entry.dump writes it."""
    with open(path, "rb", buffering=0) as file:
        start = file.read(HEAD)
        file.seek(-min(len(END), len(start)), os.SEEK_END)
        whole = file.read() == END
    at = start.find(CONFIG)
    if at < 0 or not whole:
        return None
    try:
        record = json.loads(start[:at] + b"}")
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    record = entries.rename_fields(record)
    return record if REQUIRED <= record.keys() <= NAMES else None


def _load(folder: Path) -> Index:
    """Read the index; empty if it is absent, cut off, or of another shape."""
    try:
        record = json.loads((folder / NAME).read_text(encoding="utf-8"))
        index: Index = record["entries"] if record["shape"] == SHAPE else {}
        return index
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return {}


def _save(folder: Path, index: Index) -> None:
    with suppress(OSError):  # a store that is read-only is read without an index
        atomic_write(folder / NAME, json.dumps({"shape": SHAPE, "entries": index}))


def _entry(values: list[Any]) -> Entry:
    """Return an entry without calling __init__, which would take longer than all the rest."""
    entry = Entry.__new__(Entry)
    vars(entry).update(BLANK)
    vars(entry).update(zip(FIELDS, values, strict=True))
    return entry
