"""A folder of the store without opening its files: `.index.json` keeps what tables need of each entry.

An entry is never changed, so its path, size and time of writing say whether the index still knows it. The index is
only a copy: it is replaced in one step (two writers cost work, never truth), may be deleted, and is not needed where
the folder cannot be written. What tables do not show stays in the entry's file, nine tenths of it.

A file that the index does not know is read as far as its config, which stands last, and at its end, where a file that
was cut off would show it; `lineage store verify` reads every byte.
"""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from lineage.results import entry as entries
from lineage.results import store
from lineage.results.atomic import atomic_write
from lineage.results.entry import VERSION, Entry, EntryError
from lineage.results.overrides import has_former_name
from lineage.results.renames import choices_today, fingerprint
from lineage.results.store import Contents, Damage, StoreError

NAME = ".index.json"
FIELDS = ("id", "table", "row", "tier", "status", "error", "metrics", "deviations", "seed", "config_digest",
          "cell_digest", "evaluation_digest", "choices", "seconds", "steps", "processes", "step_seconds", "image_ms",
          "peak_memory", "parameters", "macs", "dirty", "supersedes")  # fmt: skip
SHAPE = [VERSION, fingerprint(), *FIELDS]  # an index of another lineage is rebuilt
HEAD = 8192  # bytes: what stands before the config is 3 kB
CONFIG, END = b',\n "config": {', b"\n}\n"  # as entry.dump writes them
DEFAULTS = {field.name: field.default for field in fields(Entry) if field.default is not MISSING} | {
    field.name: field.default_factory() for field in fields(Entry) if field.default_factory is not MISSING
}
NAMES = {field.name for field in fields(Entry)}
REQUIRED = {name for name in FIELDS if name not in DEFAULTS}
BLANK = dict.fromkeys(NAMES) | DEFAULTS  # what an indexed entry says of the other fields

Known = dict[str, list[Any]]  # path below the folder -> [mtime in ns, size, values of FIELDS]


def contents(folder: Path | str) -> Contents:
    """As store.contents, but of each entry FIELDS alone: everything at or below `folder`, oldest first."""
    folder = Path(folder)
    with _many_objects():
        known, held, damaged = _load(folder), {}, []
        for path, stamp in sorted(_stamps(folder), key=lambda found: found[0].rpartition("/")[2]):
            cached = known.get(path)
            if cached is not None and cached[:2] == stamp:
                held[path] = cached
                continue
            try:
                held[path] = [*stamp, _read(f"{folder}/{path}")]
            except StoreError as error:
                damaged.append(Damage(folder / path, str(error)))
        if held != known:
            _save(folder, held)
        return Contents([_entry(values) for *_, values in held.values()], damaged)


@contextmanager
def _many_objects() -> Iterator[None]:
    """Nothing that is made here becomes garbage, so looking for garbage among it, again and again, is in vain."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


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


def _read(path: str) -> list[Any]:
    """The values of FIELDS."""
    try:
        record = _head(path)
        if record is None or has_former_name(map(str, record["deviations"])):
            record = vars(store.read(path))
        record["choices"] = choices_today(record["choices"])
        entries.check(record)
    except EntryError as error:
        raise StoreError(str(error)) from error
    except StoreError as error:
        raise StoreError(str(error).removeprefix(f"{path}: ")) from error
    if f"{record.get('id')}.json" != path.rpartition("/")[2]:
        raise StoreError(f"holds entry {record.get('id')}; an entry's file is named after its id")
    return [record.get(name, DEFAULTS.get(name)) for name in FIELDS]


def _head(path: str) -> dict[str, Any] | None:
    """What stands before the config; None where the file is not as entry.dump writes it, and has to be read whole."""
    with open(path, "rb", buffering=0) as file:
        start = file.read(HEAD)
        file.seek(-min(len(END), len(start)), os.SEEK_END)
        whole = file.read() == END
    at = start.find(CONFIG)
    if at < 0 or not whole:
        return None
    try:
        record = json.loads(start[:at] + b"}")
    except ValueError:
        return None
    if not isinstance(record, dict):
        return None
    record = entries.rename_fields(record)
    return record if REQUIRED <= record.keys() <= NAMES else None


def _load(folder: Path) -> Known:
    """Nothing is known where the index is absent, cut off, or of another shape."""
    try:
        record = json.loads((folder / NAME).read_text(encoding="utf-8"))
        known: Known = record["entries"] if record["shape"] == SHAPE else {}
        return known
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _save(folder: Path, held: Known) -> None:
    with suppress(OSError):  # a store that is read-only is read without an index
        atomic_write(folder / NAME, json.dumps({"shape": SHAPE, "entries": held}))


def _entry(values: list[Any]) -> Entry:
    """Without __init__, which checks nothing and takes longer than all the rest."""
    made = Entry.__new__(Entry)
    vars(made).update(BLANK)
    vars(made).update(zip(FIELDS, values, strict=True))
    return made
