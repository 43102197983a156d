"""`lineage table`: the tables, filled in from the store, in the format that is asked for."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from lineage.results import paths
from lineage.results import store as files
from lineage.results.entry import Entry
from lineage.tables import read, tiers
from lineage.tables.format import html, terminal
from lineage.tables.format.latex import latex
from lineage.tables.format.load import entries, filled
from lineage.tables.format.markdown import markdown
from lineage.tables.format.overview import free_runs, overview
from lineage.tables.format.view import Sheet
from lineage.tables.table import Table, TableError

FORMATS: dict[str, Callable[[Sheet], str]] = {"markdown": markdown, "latex": latex, "html": html.page}
SUFFIX = {"terminal": ".txt", "markdown": ".md", "csv": ".csv", "latex": ".tex", "html": ".html"}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="lineage table", description="Tables of the papers, filled in and judged.")
    parser.add_argument(
        "name", nargs="?", help="a table, e.g. mask_rcnn/table2c; a paper, e.g. mask_rcnn; without it, an overview"
    )
    parser.add_argument("--all", action="store_true", help="tables without runs as well; with a format, all of them")
    parser.add_argument("--as", choices=SUFFIX, dest="form", help="the format (default: terminal)")
    parser.add_argument("--tier", help="runs of this tier only: paper, mini or smoke")
    parser.add_argument("--out", type=Path, help="a file to write; with --all a folder, a file per table")
    parser.add_argument("--results", type=Path, default=paths.results(), help="the store (default: %(default)s)")
    asked = parser.parse_args(argv)
    experiments = paths.experiments()
    if asked.tier is not None:
        tiers.check(experiments, asked.tier)
    if asked.name is None:
        return _several(asked, experiments)
    if (experiments / asked.name).is_dir():
        print(overview(experiments, asked.results, everything=True, paper=asked.name.strip("/")), end="")
        return 0
    if asked.name.startswith(files.SCRATCH):
        print(free_runs(entries(asked.results / asked.name)), end="")
        return 0
    text = rendered(asked, *filled(experiments, asked.results, asked.name.removesuffix(".yaml"), asked.tier))
    _write(asked.out, text) if asked.out else print(text, end="")
    return 0


def rendered(asked: argparse.Namespace, table: Table, held: list[Entry], made: Sheet) -> str:
    if asked.form == "csv":
        return terminal.comma_separated(table, held)
    if asked.form in FORMATS:
        return FORMATS[asked.form](made)
    return terminal.terminal(made, colour=asked.out is None and sys.stdout.isatty())


def _several(asked: argparse.Namespace, experiments: Path) -> int:
    if asked.form is None:
        print(overview(experiments, asked.results, everything=asked.all), end="")
        return 0
    if not asked.all:
        raise TableError("which table? Give its name, or --all; `lineage table` lists them")
    made = [filled(experiments, asked.results, name, asked.tier) for name in read.names(experiments)]
    if asked.out is None:
        print("\n".join(rendered(asked, *one) for one in made), end="")
        return 0
    for one in made:
        _write(asked.out / f"{one[0].name}{SUFFIX[asked.form]}", rendered(asked, *one))
    if asked.form == "html":
        _write(asked.out / "index.html", html.index([(table, shown) for table, _, shown in made]))
    print(f"{len(made)} tables are in {asked.out}")
    return 0


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
