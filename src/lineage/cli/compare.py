"""`lineage compare A B`: the differences of two runs or two rows of tables, in their shortest form, and their metrics.

A row is <paper>/<table>/<row>, at another tier mini/<paper>/<table>/<row>, or both with --tier mini; its config is
composed, its numbers are the paper's. Only that needs Hydra: two entries are compared as fast as they are read.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lineage.results import diff, paths, store
from lineage.results.entry import Entry
from lineage.tables import read
from lineage.tables.find_entry import find_entry
from lineage.tables.format.terminal import Grid, align
from lineage.tables.suggest import did_you_mean
from lineage.tables.table import TableError
from lineage.tables.tiers import PAPER, check_tier, load_tiers

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
    tier = "of rows whose name does not begin with one (default: that of their table's file)"
    parser.add_argument("--tier", help=tier)
    args = parser.parse_args(argv)
    if args.tier is not None:
        check_tier(paths.experiments(), args.tier)
    a, b = (load_side(name, args.results, args.tier) for name in (args.a, args.b))
    choices = diff.configs(a.choices, b.choices)
    groups = tuple(difference.key for difference in choices)  # all keys of another option differ: name the option
    config, colour = diff.experiments(a.config, b.config, groups), sys.stdout.isatty()
    sections = [("choices", choices), ("config", config)]
    if not choices and not config:
        print("the configs are equal\n" if a.entry and b.entry else "the two ask for the same\n")
    if a.entry and b.entry:
        sections.append(("otherwise", diff.provenance(a.entry, b.entry)))
    for title, differences in sections:
        if differences:
            print(diff.format_section(title, differences, colour))
    has_numbers = bool(a.metrics or b.metrics)
    print(align(_compare_metrics(a, b)) if has_numbers else "no published numbers; `lineage table` has those of runs")
    return 0


def load_side(name: str, results: Path, tier: str | None = None) -> Side:
    row = _row(name, paths.experiments(), tier)
    if row is not None:
        return row
    entry = store.read(find_entry(results, name))
    title = f"{entry.row or entry.choices.get('model', 'run')} {entry.id[-6:]}"
    return Side(title, entry.config, _groups(entry.choices), entry.metrics, entry)


def _row(name: str, experiments: Path, tier: str | None) -> Side | None:
    """Return a row of a table, or None if `name` has not the form of a row."""
    parts = name.removeprefix("experiment=").split("/")
    tiers = [PAPER, *load_tiers(experiments)]
    tier = parts.pop(0) if len(parts) == 4 and parts[0] in tiers else tier
    if len(parts) != 3 or Path(name).is_file():
        return None
    table = read.load_table(experiments, "/".join(parts[:2]))
    if parts[2] not in table.rows:
        raise TableError(f"table {table.name} has no row {parts[2]!r}. {did_you_mean(parts[2], table.rows)}")
    row = table.rows[parts[2]]
    if not row.runs:
        raise TableError(f"{name} has no config to compare: {row.unsupported or row.quoted}")

    from lineage.launch.compose_rows import RowRequest, compose_rows

    (composed,) = compose_rows(paths.project(), [RowRequest(table.name, row, tier or table.tier)])
    if composed.error is not None:
        raise TableError(f"{name} does not compose: {composed.error}")
    metrics: dict[str, float | None] = dict(row.published)
    return Side(f"{row.name} (published)", composed.config, _groups(composed.choices) | row.uses, metrics)


def _groups(choices: dict[str, str]) -> dict[str, str]:
    """Return the choices without Hydra's own and without `experiment`, which sets the others."""
    return {name: option for name, option in choices.items() if not name.startswith(("experiment", "hydra", "tier"))}


def _compare_metrics(a: Side, b: Side) -> Grid:
    names = list(dict.fromkeys([*a.metrics, *b.metrics]))
    body = []
    for name in names:
        values = [side.metrics.get(name) for side in (a, b)]
        shown = ["-" if value is None else f"{value:.2f}" for value in values]
        body.append([name, *shown, "-" if None in values else f"{values[1] - values[0]:+.2f}"])  # type: ignore[operator]
    return Grid(["metric", a.name, b.name, "diff"], body)
