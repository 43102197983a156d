"""`lineage table`: the tables, filled in from the store, in any format."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import repeat
from pathlib import Path

from lineage.launch.current_rows import make_finder
from lineage.results import paths, store
from lineage.results.count_noun import count_noun
from lineage.results.entry import Entry
from lineage.tables import read, tiers
from lineage.tables.format.foreign import build_foreign, describe_hidden
from lineage.tables.format.free_runs import list_requested, render_runs
from lineage.tables.format.html import render_index, render_page
from lineage.tables.format.latex import render_latex
from lineage.tables.format.load import FilledTable, TableLoader, load_contents
from lineage.tables.format.markdown import render_markdown
from lineage.tables.format.notes import describe_code, describe_earlier
from lineage.tables.format.overview import render_free_runs, render_overview
from lineage.tables.format.terminal import render_csv, render_terminal
from lineage.tables.format.view import TableView, build_view
from lineage.tables.samples import drop_superseded
from lineage.tables.table import TableError

RENDER: dict[str, Callable[[TableView], str]] = {
    "markdown": render_markdown,
    "latex": render_latex,
    "html": render_page,
}
SUFFIX = {"terminal": ".txt", "markdown": ".md", "csv": ".csv", "latex": ".tex", "html": ".html"}


def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    experiments = paths.experiments()
    loader = TableLoader(experiments, args.results, make_finder(paths.project(), experiments))
    if args.tier is not None:
        tiers.check_tier(experiments, args.tier)
    if args.runs is not None:
        return _print_runs(args)
    if args.foreign and args.form == "csv":
        raise TableError("csv has a line per cell of our runs, and none for runs of others: leave --foreign out")
    if args.images and (args.name is None or args.name.count("/") != 1):
        raise TableError("--images reads the detections of one table's runs: name it, e.g. mask_rcnn/table2c")
    if args.name is None:
        return _print_several(args, loader)
    if (paper := args.name.strip("/")) in {name.partition("/")[0] for name in read.list_tables(experiments)}:
        print(render_overview(loader, everything=True, paper=paper), end="")
        return 0
    if args.name.startswith(store.SCRATCH):
        print(render_free_runs(load_contents(args.results / args.name).entries), end="")
        return 0
    filled = loader.load(args.name.removesuffix(".yaml"), args.tier)
    if args.images:
        filled = _add_image_noise(filled, loader, args)
    text = _render(args, filled, _build_view(filled, loader.load_foreign(filled.table.name, args.tier), args.foreign))
    _write(args.out, text) if args.out else print(text, end="")
    return 0


def _print_runs(args: argparse.Namespace) -> int:
    if args.form not in (None, "terminal"):
        raise TableError(f"--runs is a list of runs and no table: leave --as {args.form} out, or write --out FILE")
    text = _render_runs(args)
    if args.out is None:
        print(text, end="")
    else:
        _write(args.out, text)
    return 0


def _render_runs(args: argparse.Namespace) -> str:
    """Return the list of free runs; their configs are read if a key with dots is asked for."""
    folder = args.results / (store.FOREIGN if args.foreign else "") / store.SCRATCH
    entries = drop_superseded(load_contents(folder).entries)
    if any("." in name for name in list_requested(args.runs, args.sort, args.columns)):
        paths_by_id = {path.stem: path for path in store.files(folder)}
        entries = [store.read(paths_by_id[entry.id]) for entry in entries]
    return render_runs(entries, args.runs, args.sort, args.columns)


def _print_several(args: argparse.Namespace, loader: TableLoader) -> int:
    """Print the overview or, in the format of `args`, all tables; write a file per table if `args` has a folder."""
    if args.form is None:
        print(render_overview(loader, everything=args.all), end="")
        return 0
    if not args.all:
        raise TableError("which table? Give its name, or --all; `lineage table` lists them")
    loaded = [loader.load(name, args.tier) for name in read.list_readable(loader.experiments)]
    foreign = [loader.load_foreign(filled.table.name, args.tier) for filled in loaded]
    tables = [(filled, _build_view(filled, *pair)) for filled, *pair in zip(loaded, foreign, repeat(args.foreign))]
    if args.out is None:
        print("\n".join(_render(args, *pair) for pair in tables), end="")
        return 0
    for filled, view in tables:
        text = render_page(view, has_index=True) if args.form == "html" else _render(args, filled, view)
        _write(args.out / f"{filled.table.name}{SUFFIX[args.form]}", text)
    if args.form == "html":
        _write(args.out / "index.html", render_index([(filled.table, view) for filled, view in tables]))
    print(f"{args.out}: {count_noun(len(tables), 'table')}")
    return 0


def _add_image_noise(filled: FilledTable, loader: TableLoader, args: argparse.Namespace) -> FilledTable:
    """Resample the test images of runs whose detections are here, and load the table again."""
    from lineage.run.inference.bootstrap_images import bootstrap_images

    finished = [entry for entry in drop_superseded(filled.entries) if entry.status == "finished"]
    present, absent = bootstrap_images(finished, loader.results)
    print(describe_image_noise(present, absent), file=sys.stderr)
    return loader.load(filled.table.name, args.tier)


def describe_image_noise(present: int, absent: int) -> str:
    """Return how many runs have the noise of test images, and how many lack the detections that it is computed from."""
    lacking = f"; {count_noun(absent, 'run')} left out, whose detections are not on this machine" if absent else ""
    return f"noise of test images: resampled for {count_noun(present, 'run')}{lacking}"


def _build_view(filled: FilledTable, foreign: Sequence[Entry] = (), show_foreign: bool = False) -> TableView:
    """Return a table as it is printed; runs of others below it if asked for, else a note on them."""
    hidden = [] if show_foreign else describe_hidden(foreign)
    notes = [*describe_earlier(filled.earlier), *describe_code(filled.entries, paths.ROOT), *hidden]
    view = build_view(filled.table, filled.entries, filled.background, notes)
    return replace(view, blocks=[*view.blocks, *build_foreign(filled.table, foreign)]) if show_foreign else view


def _render(args: argparse.Namespace, filled: FilledTable, view: TableView) -> str:
    if args.form == "csv":
        return render_csv(filled.table, filled.entries, filled.background)
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
    runs = "all free runs, or those that fulfil conditions: --runs model=mask_rcnn 'steps>500'"
    parser.add_argument("--runs", nargs="*", metavar="CONDITION", help=runs)
    parser.add_argument("--sort", default="", metavar="NAME", help="with --runs, the largest first; -NAME the smallest")
    parser.add_argument("--columns", nargs="+", default=[], metavar="NAME", help="with --runs: metrics, keys, fields")
    parser.add_argument("--tier", help="runs of this tier only: paper, mini or smoke")
    parser.add_argument("--images", action="store_true", help="add the noise of test images, from stored detections")
    foreign = "runs of other code bases (lineage import) below the table; with --runs, those of no row"
    parser.add_argument("--foreign", action="store_true", help=foreign)
    parser.add_argument("--out", type=Path, help="a file to write; with --all a folder, a file per table")
    parser.add_argument("--results", type=Path, default=paths.results(), help="the store (default: %(default)s)")
    return parser
