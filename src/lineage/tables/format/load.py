"""Tables with the entries of the store that fill them, and with what verdicts depend on beside these."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from lineage.results import cache, image_noise, integrity, store
from lineage.results.entry import Entry
from lineage.tables import model_facts, read
from lineage.tables.current import EarlierRuns, FindCurrent, split_entries
from lineage.tables.samples import drop_superseded
from lineage.tables.table import Table
from lineage.tables.table_noise import measure_noise
from lineage.tables.verdicts import Background

MOST_CHECKED = 500  # entries whose digest a table checks; 1.5 ms each


@dataclass(frozen=True, slots=True)
class FilledTable:
    """A table with the entries that count for its rows as they are now."""

    table: Table
    entries: list[Entry]
    background: Background = field(default_factory=Background)
    earlier: list[EarlierRuns] = field(default_factory=list)
    damaged: int = 0  # files that cannot be read


@dataclass(frozen=True, slots=True)
class TableLoader:
    """Loader of tables from the folders of a project."""

    experiments: Path
    results: Path
    find_current: FindCurrent

    def load(self, name: str, tier: str | None = None) -> FilledTable:
        """Return a table with its entries, all or those of one tier."""
        table, contents = read.load_table(self.experiments, name), load_contents(self.results / name)
        entries = [entry for entry in contents.entries if tier in (None, entry.tier)]
        if not entries:
            return FilledTable(table, [], damaged=len(contents.damaged))
        counting, earlier = split_entries(table, entries, self.find_current, self._read_entry)
        return FilledTable(table, counting, self._load_background(table, counting), earlier, len(contents.damaged))

    def load_foreign(self, name: str, tier: str | None = None) -> list[Entry]:
        """Return the runs of others that were imported for rows of a table, those that no later entry corrects."""
        folder = self.results / store.FOREIGN / name
        entries = drop_superseded(load_contents(folder).entries) if folder.is_dir() else []
        return [entry for entry in entries if tier in (None, entry.tier)]

    def find_path(self, entry: Entry) -> Path:
        return self.results / store.place(entry) / f"{entry.id}.json"

    def _read_entry(self, entry: Entry) -> Entry:
        return store.read(self.find_path(entry))

    def _load_background(self, table: Table, entries: Iterable[Entry]) -> Background:
        """Return what the models of the entries learn, and the noise that other tables of the store have measured."""
        files = model_facts.find_files(self.experiments)
        models = {entry.choices.get("model", "") for entry in entries}
        facts = {model: model_facts.read_facts(files[model]) for model in models if model in files}
        learning = {model: fact.learning.measures for model, fact in facts.items() if fact.learning is not None}
        folders = [self.results / name for name in read.list_tables(self.experiments) if name != table.name]
        elsewhere = [entry for folder in folders if folder.is_dir() for entry in cache.contents(folder).entries]
        resampled = {run for row in table.rows for run in image_noise.list_ids(self.results / table.name / row)}
        images = {entry.id: image_noise.read(self.find_path(entry)) for entry in entries if entry.id in resampled}
        return Background(learning, measure_noise(drop_superseded(elsewhere), table.measures), images)


def load_contents(folder: Path) -> store.Contents:
    """Return the contents of a folder; print a line for each file that cannot be read, or was edited."""
    contents = cache.contents(folder)
    for damage in contents.damaged:
        print(f"left out: {damage.path}: {damage.reason}", file=sys.stderr)
    newest = sorted(store.files(folder), key=lambda path: path.name, reverse=True)
    for damage in integrity.find_edited(newest[:MOST_CHECKED]):
        print(f"edited, but shown: {damage.path}: {damage.reason}", file=sys.stderr)
    if len(newest) > MOST_CHECKED:
        checked = f"of {len(newest)} entries the newest {MOST_CHECKED} were checked for edits"
        print(f"{checked}; `lineage store verify` checks all", file=sys.stderr)
    return contents
