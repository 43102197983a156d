"""Runs of other code bases beside a table: what they measured, without a verdict."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from lineage.results.count_noun import count_noun
from lineage.results.entry import Entry
from lineage.tables.format.view import Block, CellText, Section
from lineage.tables.numbers import EMPTY, format_number
from lineage.tables.statistics.seed_noise import mean
from lineage.tables.table import Table

TITLE = "Runs of others, at"
EXPLANATION = (
    "imported (lineage import): not judged, and in no number above; their rules of training and test are theirs"
)


def build_foreign(table: Table, entries: Sequence[Entry]) -> list[Block]:
    """Return a block per tier with a line per row, code base, dataset and config; none without a finished run."""
    tiers: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.status == "finished":
            tiers[entry.tier].append(entry)
    return [Block(f"{TITLE} tier {tier}", [_build_section(table, tiers[tier])]) for tier in sorted(tiers)]


def _build_section(table: Table, entries: Sequence[Entry]) -> Section:
    measured = {name for entry in entries for name in entry.metrics}
    metrics = [name for name in table.measures if name in measured] or sorted(measured)[:3]
    groups: dict[tuple[str, str, str, str], list[Entry]] = defaultdict(list)
    for entry in sorted(entries, key=lambda entry: entry.id):
        groups[entry.row or "", entry.origin, entry.choices.get("dataset", ""), entry.config_digest].append(entry)
    order = {row: position for position, row in enumerate(table.rows)}
    body = [
        (
            CellText(table.rows[row].label if row in table.rows else f"{row} (no row of this table)"),
            CellText(origin),
            CellText(runs[0].choices.get("model", "")),
            CellText(dataset or EMPTY),
            CellText(str(len(runs)), number=True),
            *(CellText(_format_mean(runs, metric), number=True) for metric in metrics),
            *(CellText(_format_published(table, row, metric), number=True) for metric in metrics),
        )
        for (row, origin, dataset, _), runs in sorted(
            groups.items(), key=lambda group: (order.get(group[0][0], len(order)), group[0])
        )
    ]
    titles = [table.metrics.get(name, name) for name in metrics]
    head = ("row", "code base", "run", "dataset", "n", *titles, *(f"published {title}" for title in titles))
    return Section(EXPLANATION, head, body)


def _format_mean(runs: Sequence[Entry], metric: str) -> str:
    values = [value for run in runs if (value := run.metrics.get(metric)) is not None]
    return format_number(mean(values) if values else None, 1)


def _format_published(table: Table, row: str, metric: str) -> str:
    return format_number(table.rows[row].published.get(metric) if row in table.rows else None, 1)


def describe_hidden(entries: Sequence[Entry]) -> list[str]:
    """Return a note on runs of others that are stored for a table and not shown."""
    if not entries:
        return []
    origins = ", ".join(sorted({entry.origin for entry in entries}))
    return [f"Beside this table: {count_noun(len(entries), 'run')} of others ({origins}); --foreign shows them."]
