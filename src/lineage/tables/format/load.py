"""Tables with the entries of the store that fill them."""

from __future__ import annotations

import sys
from pathlib import Path

from lineage.results import cache
from lineage.results.entry import Entry
from lineage.tables import read
from lineage.tables.format.view import TableView, build_view
from lineage.tables.table import Table


def load_filled(
    experiments: Path, results: Path, name: str, tier: str | None = None
) -> tuple[Table, list[Entry], TableView]:
    """Return a table, its entries of the store, all or those of one tier, and the view of both."""
    table, entries = read.load_table(experiments, name), load_entries(results / name)
    entries = [entry for entry in entries if tier in (None, entry.tier)]
    return table, entries, build_view(table, entries)


def load_entries(folder: Path) -> list[Entry]:
    """Return the entries of a folder; print a line for each file that cannot be read."""
    contents = cache.contents(folder)
    for damage in contents.damaged:
        print(f"left out: {damage.path}: {damage.reason}", file=sys.stderr)
    return contents.entries
