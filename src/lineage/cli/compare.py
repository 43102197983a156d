"""`lineage compare A B`: what two runs, or two rows of tables, do differently, in its shortest form; what came of it.

A row is <paper>/<table>/<row>, at another tier mini/<paper>/<table>/<row>; its config is composed, its numbers are the
paper's. Only that needs Hydra: two entries are compared as fast as they are read.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lineage.cli.store import found, section
from lineage.results import diff, paths, store
from lineage.results.entry import Entry
from lineage.tables import read
from lineage.tables.format.terminal import Grid, align
from lineage.tables.suggest import did_you_mean
from lineage.tables.table import TableError
from lineage.tables.tiers import PAPER, load_tiers

HELP = "an entry (its file, its id, a beginning or the end of the id) or a row, e.g. mask_rcnn/table2c/roi_pool"


@dataclass(frozen=True)
class Side:
    name: str
    config: dict[str, Any]
    choices: dict[str, str]
    metrics: dict[str, float | None]
    entry: Entry | None = None  # of a run


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="lineage compare", description=__doc__.partition("\n")[0])
    parser.add_argument("a", metavar="A", help=HELP)
    parser.add_argument("b", metavar="B")
    parser.add_argument("--results", type=Path, default=paths.results(), help="the store (default: %(default)s)")
    asked = parser.parse_args(argv)
    a, b = (side(name, asked.results) for name in (asked.a, asked.b))
    choices = diff.configs(a.choices, b.choices)
    chosen = tuple(found.key for found in choices)  # an option's keys all differ: naming the option says it shorter
    config = diff.experiments(a.config, b.config, chosen)
    section("choices", choices)
    section("config", config)
    if a.entry and b.entry:
        section("otherwise", diff.provenance(a.entry, b.entry))
    elif not choices and not config:
        print("the two ask for the same\n")
    print(align(_metrics(a, b)))
    return 0


def side(name: str, results: Path) -> Side:
    row = _row(name, paths.experiments())
    if row is not None:
        return row
    entry = store.read(found(results, name))
    told = f"{entry.row or entry.choices.get('model', 'run')} {entry.id[-6:]}"
    return Side(told, entry.config, _groups(entry.choices), entry.metrics, entry)


def _row(name: str, experiments: Path) -> Side | None:
    """None where this is no row's name but an entry's."""
    parts = name.removeprefix("experiment=").split("/")
    tiers = [PAPER, *load_tiers(experiments)]
    tier = parts.pop(0) if len(parts) == 4 and parts[0] in tiers else PAPER
    if len(parts) != 3 or Path(name).is_file():
        return None
    table = read.load_table(experiments, "/".join(parts[:2]))
    if parts[2] not in table.rows:
        raise TableError(f"table {table.name} has no row {parts[2]!r}. {did_you_mean(parts[2], table.rows)}")
    row = table.rows[parts[2]]
    if not row.runs:
        raise TableError(f"{name} has no config to compare: {row.unsupported or row.quoted}")

    from lineage.launch.compose_rows import RowRequest, compose_rows

    (made,) = compose_rows(paths.project(), [RowRequest(table.name, row, tier)])
    if made.error is not None:
        raise TableError(f"{name} does not compose: {made.error}")
    metrics: dict[str, float | None] = dict(row.published)
    return Side(f"{row.name} (published)", made.config, _groups(made.choices) | row.uses, metrics)


def _groups(choices: dict[str, str]) -> dict[str, str]:
    """Without that of the row, which stands for the others, and Hydra's own."""
    return {name: option for name, option in choices.items() if not name.startswith(("experiment", "hydra", "tier"))}


def _metrics(a: Side, b: Side) -> Grid:
    names = list(dict.fromkeys([*a.metrics, *b.metrics]))
    body = []
    for name in names:
        values = [one.metrics.get(name) for one in (a, b)]
        shown = ["-" if value is None else f"{value:.2f}" for value in values]
        body.append([name, *shown, "-" if None in values else f"{values[1] - values[0]:+.2f}"])  # type: ignore[operator]
    return Grid(["metric", a.name, b.name, "diff"], body)
