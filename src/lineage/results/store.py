"""The store: a directory of entries, one immutable JSON file per run. No lock, no server, no shared file.

    results/mask_rcnn/table2c/roi_align/20261123T040305Z-a3d31b8b-9f02c1.json
    results/scratch/mask_rcnn/20261123T040305Z-77aa01c2-b0c1d2.json
    results/foreign/mask_rcnn/table2c/roi_align/20261120T101112Z-0f1e2d3c-aabbcc.json

Names are unique, so two stores merge by copying one into the other. A file gets its name only when it is complete and
on disk (hard link of a synced temporary file), so a writer killed at any point leaves at most a temporary file behind.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from lineage.results.atomic import TEMPORARY, atomic_write, sweep
from lineage.results.entry import Entry, EntryError, check_names, dump, parse

SCRATCH = "scratch"
FOREIGN = "foreign"  # runs of other code bases (`lineage import`), in folders as ours
LAST = re.compile(r"last(?:~(\d+))?")  # the newest training or evaluation of ours, or the n-th before it


class StoreError(ValueError):
    """An entry that is missing, ambiguous or damaged; the message has the reason and the remedy."""


@dataclass(frozen=True)
class Damage:
    path: Path
    reason: str


@dataclass(frozen=True)
class Contents:
    """Entries and damaged files of a store."""

    entries: list[Entry]
    damaged: list[Damage]


def place(entry: Entry) -> Path:
    """Return the folder of an entry inside the store. Raises StoreError if a name in it would lead out of the store."""
    try:
        check_names(vars(entry))
    except EntryError as error:
        raise StoreError(str(error)) from error
    root = Path(FOREIGN) if entry.origin else Path()
    if entry.table and entry.row:
        return root / entry.table / entry.row
    return root / SCRATCH / entry.choices.get("model", "unknown")


def write(entry: Entry, root: Path | str) -> Path:
    """Add an entry. Returns once it is on disk under its name; never overwrites."""
    path = Path(root, place(entry), f"{entry.id}.json")
    put(dump(entry), path)
    return path


def put(text: str, path: Path) -> None:
    """Complete and on disk under this name, or not at all."""
    sweep(path.parent)
    try:
        atomic_write(path, text, durable=True, exclusive=True)
    except FileExistsError:
        raise StoreError(f"{path} exists; entries are never overwritten. Correct one with `supersedes`") from None


def read(path: Path | str) -> Entry:
    path = Path(path)
    try:
        entry = parse(path.read_text(encoding="utf-8"))
    except (EntryError, UnicodeDecodeError, OSError) as error:
        raise StoreError(f"{path}: {error}") from error
    if entry.id != path.stem:
        raise StoreError(f"{path}: holds entry {entry.id}; an entry's file is named after its id")
    return entry


def contents(root: Path | str) -> Contents:
    """Everything at or below `root`, oldest first."""
    entries, damaged = [], []
    for path in sorted(files(Path(root)), key=lambda path: path.name):
        try:
            entries.append(read(path))
        except StoreError as error:
            damaged.append(Damage(path, str(error).removeprefix(f"{path}: ")))
    return Contents(entries, damaged)


def has_entry(root: Path | str) -> bool:
    """Return whether an entry lies at or below `root`; no file after the first one is read."""
    for path in files(Path(root)):
        with suppress(StoreError):
            read(path)
            return True
    return False


def read_own(root: Path | str) -> list[Entry]:
    """Return the entries at or below `root` that are ours, oldest first; runs of other code bases are left out."""
    return [entry for entry in contents(root).entries if not entry.origin]


def find(root: Path | str, name: str) -> Path:
    """Return the one file whose id begins or ends with `name`, or `name` itself if it is a file.

    `last` is the newest training or evaluation of ours, `last~1` the one before it.
    """
    if name.endswith(".json") and Path(name).is_file():
        return Path(name)
    paths = sorted(files(Path(root)), key=lambda path: path.stem)
    if match := LAST.fullmatch(name):
        newest = next(islice(_list_runs(Path(root), paths[::-1]), int(match[1] or 0), None), None)
        if newest is not None:
            return newest
        what = "last counts trainings and evaluations alone, no measured latency and no imported run"
        raise StoreError(f"no entry named {name!r} among the {len(paths)} of {root}; {what}")
    named = [path for path in paths if path.stem.startswith(name) or path.stem.endswith(f"-{name}")]
    if len(named) == 1:
        return named[0]
    if not named:
        raise StoreError(f"no entry named {name!r} among the {len(paths)} of {root}; its files are named by id")
    listed = "\n  ".join(path.stem for path in named[:10])
    raise StoreError(f"{name!r} names {len(named)} entries of {root}; give more of the id:\n  {listed}")


def _list_runs(root: Path, paths: Sequence[Path]) -> Iterator[Path]:
    """Yield the paths of trainings and evaluations of ours; a damaged entry stays, so that whoever reads it says so."""
    for path in paths:
        if FOREIGN in path.relative_to(root).parts[:1]:
            continue
        try:
            entry = read(path)
        except StoreError:
            yield path
            continue
        if not (entry.origin or entry.measures_latency):
            yield path


def sweep_all(root: Path) -> None:
    """Remove abandoned temporary files everywhere below."""
    for folder in {path.parent for path in root.rglob(f"{TEMPORARY}*")}:
        sweep(folder)


def files(root: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(root):
        yield from (Path(folder, name) for name in names if name.endswith(".json") and not name.startswith("."))
