"""Entries that overrides name, replaced by what the names stand for when the run starts.

`weights=last` becomes `weights=runs/<folder>`, `resume=last` likewise, and `cell.start=last` the id of the entry, in
what runs, is recorded and printed: a rerun has another store, and `last` is another entry by then.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from lineage.results import paths, store
from lineage.results.entry import Entry
from lineage.results.overrides import Override, quote
from lineage.results.run_folder import RunFolder, find_open_run
from lineage.results.store import LAST, StoreError

WEIGHTS = "weights"
RESUME = "resume"
NEWEST = "last"
CELL = ("cell.start", "cell.proposals", "cell.labels")
VALUE = re.compile(r"""'(?:\\.|[^'])*'|"(?:\\.|[^"])*"|[^,\[\]'"]+""")  # of a list or of a sweep


def resolve_entries(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of a training with run folders in place of entries as weights, and whole ids in `cell`.

    A name of no entry stays: whoever reads it explains it. A resumed run knows what `last` was when it began, so it
    is left out.
    """
    overrides = [Override.parse(text) for text in arguments if _is_override(text)]
    typed = {override.key: (override.value or "").strip("'\"") for override in overrides}
    if not typed.keys() & {WEIGHTS, RESUME, *CELL}:
        return [*arguments]
    results, runs = Path(typed.get("paths.results") or "results"), Path(typed.get("paths.runs") or "runs")
    passed = [text for text in arguments if not (RESUME in typed and names_last(text))]
    return [resolve_resumed(resolve_entry(text, results), results, runs) for text in passed]


def resolve_resumed(text: str, results: Path, runs: Path) -> str:
    """Return resume=ENTRY with the run folder in place of the entry; any other text as it is.

    `last` is also a run that was killed, which has a folder and no entry.
    """
    override = Override.parse(text)
    name = (override.value or "").strip("'\"")
    if not _is_override(text) or override.key != RESUME or not name or RunFolder(Path(name)).start.is_file():
        return text
    entry = _find(results, name)
    began = datetime.fromisoformat(entry.started).timestamp() if entry else 0.0
    open_run = find_open_run(runs, began) if name == NEWEST else None
    folder = str(open_run) if open_run else _name_folder(entry) if entry else None
    return text if folder is None else str(replace(override, value=quote(folder)))


def locate_weights_folder(name: str, results: Path) -> str:
    """Return the run folder of an entry that is named as weights, such as `last`; any other name as it is."""
    return _replace(name, results, _name_folder)


def resolve_entry(text: str, results: Path) -> str:
    """Return an override with what the names of entries in it stand for; any other text as it is."""
    override = Override.parse(text)
    if not _is_override(text) or override.key not in (WEIGHTS, *CELL):
        return text
    write = _name_folder if override.key == WEIGHTS else _name_id
    value = VALUE.sub(lambda match: _replace(match[0], results, write), override.value or "")
    return str(replace(override, value=value))


def names_last(text: str) -> bool:
    """Return whether a text is an override of weights or of a parent by `last`, which is soon another entry."""
    override = Override.parse(text)
    if not _is_override(text) or override.key not in (WEIGHTS, *CELL):
        return False
    return any(LAST.fullmatch(value.strip("'\" ")) for value in VALUE.findall(override.value or ""))


def _replace(value: str, results: Path, write: Callable[[Entry], str | None]) -> str:
    name = value.strip("'\" ")
    path = Path(name)
    if not name or "://" in name or path.is_dir() or (path.is_file() and path.suffix != ".json"):
        return value
    entry = _find(results, name)
    written = write(entry) if entry else None
    return value if written in (None, name) else quote(written)


def _find(results: Path, name: str) -> Entry | None:
    try:
        return store.read(store.find(results, name))
    except StoreError:
        return None


def _name_folder(entry: Entry) -> str | None:
    """Return the run folder of an entry as people type it, or None if it is not here."""
    folder = paths.resolve_portable(entry.folder) if entry.folder else None
    return str(paths.from_here(folder)) if folder is not None and folder.is_dir() else None


def _name_id(entry: Entry) -> str:
    return entry.id


def _is_override(text: str) -> bool:
    return "=" in text and not text.startswith("-")
