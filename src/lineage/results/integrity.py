"""A store looked after: find damage, merge two, correct an entry. Nothing is ever deleted or overwritten."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from lineage.results import store
from lineage.results.entry import Entry, digest_content, new_id
from lineage.results.store import Damage, StoreError


@dataclass(frozen=True)
class Merged:
    copied: int
    present: int
    refused: list[Damage]  # damaged there, or contradicting what is here


def verify(root: Path | str) -> tuple[int, list[Damage]]:
    """Read everything: how many entries are whole, and what is wrong with the rest. Removes abandoned temporaries."""
    root = Path(root)
    store.sweep_all(root)
    contents = store.contents(root)
    wrong = [
        *_copies(root),
        *_strays(root, contents.entries),
        *_references(root, contents.entries),
        *find_edited(store.files(root)),
    ]
    damaged = {damage.path for damage in [*contents.damaged, *wrong]}
    return sum(1 for path in store.files(root) if path not in damaged), contents.damaged + wrong


def count_without_digest(root: Path | str, damaged: Iterable[Path] = ()) -> int:
    """Return the number of entries from before 2026-11-26, whose content has no digest; damaged files do not count."""
    wrong = {path.stem for path in damaged}
    return sum(not entry.content_sha256 and entry.id not in wrong for entry in store.contents(root).entries)


def find_edited(paths: Iterable[Path]) -> Iterator[Damage]:
    """Yield the files of entries whose content does not fit the digest in them; one without a digest is left out."""
    for path in sorted(paths):
        with suppress(OSError, ValueError, RecursionError):  # damage that is named elsewhere
            record = json.loads(path.read_text(encoding="utf-8"))
            written = record.get("content_sha256") if isinstance(record, dict) else None
            if written and written != digest_content(record):
                yield Damage(path, "its content is not what was written: edited by hand? `lineage store correct` is "
                                   "the way to change a number")  # fmt: skip


def _copies(root: Path) -> Iterator[Damage]:
    """One id, two files: all but the one in its place are too many."""
    times = Counter(path.name for path in store.files(root))
    for path in sorted(store.files(root)):
        if times[path.name] > 1:
            yield Damage(path, f"there are {times[path.name]} files of this name")


def _strays(root: Path, entries: list[Entry]) -> Iterator[Damage]:
    paths = {path.stem: path for path in store.files(root)}
    for entry in entries:
        path = paths[entry.id]
        if path.parent != root / store.place(entry):
            yield Damage(path, f"belongs into {root / store.place(entry)}")
        parts = entry.id.split("-")
        if len(parts) != 3 or parts[1] != entry.config_digest[:8]:
            yield Damage(path, f"its config digest is {entry.config_digest[:8]}, unlike in its name: edited by hand?")


def _references(root: Path, entries: list[Entry]) -> Iterator[Damage]:
    """Parents and corrected entries have to be here, and corrections must not go round in a ring."""
    paths, by_id = {path.stem: path for path in store.files(root)}, {entry.id: entry for entry in entries}
    for entry in entries:
        for parent in entry.parents:
            if parent not in by_id:
                yield Damage(paths[entry.id], f"its parent {parent} is not in this store")
        if entry.supersedes is not None and entry.supersedes not in by_id:
            yield Damage(paths[entry.id], f"it corrects {entry.supersedes}, which is not in this store")
        if _circles(entry, by_id):
            yield Damage(paths[entry.id], "it corrects an entry that in the end corrects it")


def _circles(entry: Entry, entries: dict[str, Entry]) -> bool:
    """Return whether the corrections that an entry makes lead back to it."""
    visited, corrected = {entry.id}, entries.get(entry.supersedes or "")
    while corrected is not None:
        if corrected.id in visited:
            return corrected.id == entry.id
        visited.add(corrected.id)
        corrected = entries.get(corrected.supersedes or "")
    return False


def merge(source: Path | str, target: Path | str) -> Merged:
    """Copy what is missing. Equal files are skipped; a damaged one, or another text under a known name, is refused."""
    source, target = Path(source), Path(target)
    if not source.is_dir():
        raise StoreError(f"{source} is no folder; name the results folder to merge from")
    contents = store.contents(source)
    refused, copied, present = list(contents.damaged), 0, 0
    there = {path.stem: path for path in store.files(target)}
    paths = {path.stem: path for path in store.files(source)}
    for entry in contents.entries:
        text = paths[entry.id].read_text(encoding="utf-8")
        if entry.id not in there:
            store.put(text, target / store.place(entry) / f"{entry.id}.json")
            copied += 1
        elif there[entry.id].read_text(encoding="utf-8") == text:
            present += 1
        else:
            refused.append(Damage(paths[entry.id], f"{there[entry.id]} says something else under the same id"))
    return Merged(copied, present, refused)


def correct(root: Path | str, old: Entry, note: str, metrics: dict[str, float], withdraw: bool) -> Path:
    """An entry in place of `old`, which stays where it is and no longer counts."""
    if not note:
        raise StoreError("say why: --note 'the val images were those of 2014'")
    if withdraw == bool(metrics):
        raise StoreError("give the right values (--metric mask/AP=30.2), or --withdraw the entry")
    unknown = [name for name in metrics if name not in old.metrics]
    if unknown:
        raise StoreError(f"{old.id} has no metric {unknown[0]!r}; it has {', '.join(old.metrics)}")
    later = [entry for entry in store.contents(root).entries if entry.supersedes == old.id]
    if later:
        raise StoreError(f"{old.id} has been corrected already, by {later[-1].id}; correct that one")
    correction = replace(
        old,
        id=new_id(datetime.fromisoformat(old.started), old.config_digest),
        supersedes=old.id,
        note=f"{old.note}; correction: {note}".removeprefix("; "),
        metrics={} if withdraw else {**old.metrics, **metrics},
        status="failed" if withdraw else old.status,
        error=f"withdrawn: {note}" if withdraw else old.error,
    )
    return store.write(correction, root)
