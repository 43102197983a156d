"""`lineage quote`: macros with which a paper's text quotes cells of the store."""

from __future__ import annotations

import argparse
from pathlib import Path

from lineage.launch.current_rows import make_finder
from lineage.results import paths
from lineage.results.count_noun import count_noun
from lineage.tables import read
from lineage.tables.format.load import TableLoader
from lineage.tables.format.quote import collect_cells, render_macros


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="lineage quote", description="Macros with which a paper's text quotes cells of the store."
    )
    parser.add_argument("--results", type=Path, default=paths.results(), help="the store (default: %(default)s)")
    parser.add_argument("name", nargs="?", help="one table, e.g. mask_rcnn/table2c")
    parser.add_argument("--all", action="store_true", help="every table")
    parser.add_argument("--out", type=Path, help="the file to write (default: print)")
    args = parser.parse_args(argv)
    if bool(args.name) == args.all:
        parser.error("give one TABLE or --all")
    experiments = paths.experiments()
    names = read.list_tables(experiments) if args.all else [args.name.removesuffix(".yaml")]
    loader = TableLoader(experiments, args.results, make_finder(paths.project(), experiments))
    cells: dict[str, str] = {}
    for name in names:
        filled = loader.load(name)
        cells |= collect_cells(filled.table, filled.entries, filled.background)
    text = render_macros(cells)
    if args.out is None:
        print(text, end="")
        return 0
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(text, encoding="utf-8")
    print(f"{args.out}: {count_noun(len(cells), 'number')} of {count_noun(len(names), 'table')}")
    return 0
