"""Tables with the entries of the store that fill them."""

from __future__ import annotations

import sys
from pathlib import Path

from lineage.results import cache
from lineage.results.entry import Entry
from lineage.tables import read
from lineage.tables.format.view import Sheet, sheet
from lineage.tables.table import Table


def filled(experiments: Path, results: Path, name: str, tier: str | None = None) -> tuple[Table, list[Entry], Sheet]:
    table, held = read.load(experiments, name), entries(results / name)
    held = [entry for entry in held if tier in (None, entry.tier)]
    return table, held, sheet(table, held)


def entries(folder: Path) -> list[Entry]:
    held = cache.contents(folder)
    for damage in held.damaged:
        print(f"left out: {damage.path}: {damage.reason}", file=sys.stderr)
    return held.entries
