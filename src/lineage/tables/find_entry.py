"""The file of an entry, or its run folder, by what a person types: a file, an id or part of it, `last`, or a row."""

from __future__ import annotations

from pathlib import Path

from lineage.results import cache, paths, store
from lineage.results.entry import Entry
from lineage.results.store import StoreError
from lineage.tables.samples import drop_superseded

NAMES = "its file, its id, a beginning or the end of the id, or a row: its newest finished run"  # for --help


def find_entry(results: Path, name: str, like: Entry | None = None) -> Path:
    """Return the file of an entry. Of a row, the newest finished run, if possible one of the tier and seed of `like`.

    Raises StoreError if there is no such entry, or more than one.
    """
    folder = results / name
    if not (name.count("/") > 1 and folder.is_dir()):
        return store.find(results, name)
    runs = [entry for entry in drop_superseded(cache.contents(folder).entries) if entry.status == "finished"]
    if not runs:
        raise StoreError(f"{folder} has no finished run; `lineage table {name.rpartition('/')[0]}` says more")
    alike = [like is None or (entry.tier, entry.seed) == (like.tier, like.seed) for entry in runs]
    newest = max(zip(alike, runs, strict=True), key=lambda pair: (pair[0], pair[1].id))[1]
    return folder / f"{newest.id}.json"


def locate_run(path: Path, results: Path) -> Path:
    """Return a path that exists as it is, and otherwise the run folder of the entry that it names, such as `last`.

    If there is no such entry, return the path: whoever reads it says that it is no file. Raises StoreError if there is
    one, and its folder is not here.
    """
    if path.exists():
        return path
    try:
        entry = store.read(find_entry(results, str(path)))
    except StoreError:
        return path
    folder = paths.resolve_portable(entry.folder) if entry.folder else None
    if folder is None or not folder.is_dir():
        raise StoreError(f"{path} is the entry {entry.id}, and its run folder is not on this machine")
    return folder
