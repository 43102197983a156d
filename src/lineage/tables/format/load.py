"""Tables with the entries of the store that fill them, and with what verdicts depend on beside these."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from lineage.results import cache
from lineage.results.entry import Entry
from lineage.tables import model_facts, read
from lineage.tables.format.view import TableView, build_view
from lineage.tables.samples import drop_superseded
from lineage.tables.table import Table
from lineage.tables.table_noise import measure_noise
from lineage.tables.verdicts import Background


def load_filled(
    experiments: Path, results: Path, name: str, tier: str | None = None
) -> tuple[Table, list[Entry], Background, TableView]:
    """Return a table, its entries of the store, all or those of one tier, the background and the view of all."""
    table, entries = read.load_table(experiments, name), load_entries(results / name)
    entries = [entry for entry in entries if tier in (None, entry.tier)]
    background = load_background(experiments, results, table, entries)
    return table, entries, background, build_view(table, entries, background)


def load_background(experiments: Path, results: Path, table: Table, entries: Iterable[Entry]) -> Background:
    """Return what the models of the entries learn, and the noise that other tables of the store have measured."""
    models = {entry.choices.get("model", "") for entry in entries}
    if not models:
        return Background()
    files = model_facts.find_files(experiments)
    facts = {model: model_facts.read_facts(files[model]) for model in models if model in files}
    lines = {model: fact.learning.measures for model, fact in facts.items() if fact.learning is not None}
    others = [name for name in read.list_tables(experiments) if name != table.name and (results / name).is_dir()]
    elsewhere = [entry for name in others for entry in cache.contents(results / name).entries]
    return Background(lines, measure_noise(drop_superseded(elsewhere), table.measures))


def load_entries(folder: Path) -> list[Entry]:
    """Return the entries of a folder; print a line for each file that cannot be read."""
    contents = cache.contents(folder)
    for damage in contents.damaged:
        print(f"left out: {damage.path}: {damage.reason}", file=sys.stderr)
    return contents.entries
