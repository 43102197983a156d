"""`lineage table`: the tables, filled in from the store, in any format."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from lineage.results import paths, store
from lineage.results.entry import Entry
from lineage.tables import read, tiers
from lineage.tables.format.html import render_index, render_page
from lineage.tables.format.latex import render_latex
from lineage.tables.format.load import load_entries, load_filled
from lineage.tables.format.markdown import render_markdown
from lineage.tables.format.overview import render_free_runs, render_overview
from lineage.tables.format.terminal import render_csv, render_terminal
from lineage.tables.format.view import TableView
from lineage.tables.table import Table, TableError
from lineage.tables.verdicts import Background

RENDER: dict[str, Callable[[TableView], str]] = {
    "markdown": render_markdown,
    "latex": render_latex,
    "html": render_page,
}
SUFFIX = {"terminal": ".txt", "markdown": ".md", "csv": ".csv", "latex": ".tex", "html": ".html"}


def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    experiments = paths.experiments()
    if args.tier is not None:
        tiers.check_tier(experiments, args.tier)
    if args.name is None:
        return _print_several(args, experiments)
    if (paper := args.name.strip("/")) in {name.partition("/")[0] for name in read.list_tables(experiments)}:
        print(render_overview(experiments, args.results, everything=True, paper=paper), end="")
        return 0
    if args.name.startswith(store.SCRATCH):
        print(render_free_runs(load_entries(args.results / args.name)), end="")
        return 0
    text = _render(args, *load_filled(experiments, args.results, args.name.removesuffix(".yaml"), args.tier))
    _write(args.out, text) if args.out else print(text, end="")
    return 0


def _print_several(args: argparse.Namespace, experiments: Path) -> int:
    """Print the overview or, in the format of `args`, all tables; write a file per table if `args` has a folder."""
    if args.form is None:
        print(render_overview(experiments, args.results, everything=args.all), end="")
        return 0
    if not args.all:
        raise TableError("which table? Give its name, or --all; `lineage table` lists them")
    tables = [load_filled(experiments, args.results, name, args.tier) for name in read.list_tables(experiments)]
    if args.out is None:
        print("\n".join(_render(args, *one) for one in tables), end="")
        return 0
    for filled in tables:
        _write(args.out / f"{filled[0].name}{SUFFIX[args.form]}", _render(args, *filled))
    if args.form == "html":
        _write(args.out / "index.html", render_index([(table, view) for table, _, _, view in tables]))
    print(f"{len(tables)} tables are in {args.out}")
    return 0


def _render(
    args: argparse.Namespace, table: Table, entries: list[Entry], background: Background, view: TableView
) -> str:
    if args.form == "csv":
        return render_csv(table, entries, background)
    if args.form in RENDER:
        return RENDER[args.form](view)
    return render_terminal(view, colour=args.out is None and sys.stdout.isatty())


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lineage table", description="Tables of the papers, filled in and judged.")
    parser.add_argument(
        "name", nargs="?", help="a table, e.g. mask_rcnn/table2c; a paper, e.g. mask_rcnn; without it, an overview"
    )
    parser.add_argument("--all", action="store_true", help="tables without runs as well; with a format, all of them")
    parser.add_argument("--as", choices=SUFFIX, dest="form", help="the format (default: terminal)")
    parser.add_argument("--tier", help="runs of this tier only: paper, mini or smoke")
    parser.add_argument("--out", type=Path, help="a file to write; with --all a folder, a file per table")
    parser.add_argument("--results", type=Path, default=paths.results(), help="the store (default: %(default)s)")
    return parser
