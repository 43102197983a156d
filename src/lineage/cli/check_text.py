"""`lineage check-text`: do the numbers of a text equal those of the store that it quotes?"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lineage.launch.current_rows import make_finder
from lineage.results import paths
from lineage.tables import read
from lineage.tables.format.load import TableLoader
from lineage.tables.format.quote import collect_cells, explain_mismatch, find_quotes, table_of


def main(argv: list[str]) -> int:
    """Print a line per wrong quote; return 1 if there is any."""
    parser = argparse.ArgumentParser(
        prog="lineage check-text", description="Do the numbers of a text equal those of the store that it quotes?"
    )
    parser.add_argument("--results", type=Path, default=paths.results(), help="the store (default: %(default)s)")
    parser.add_argument("texts", nargs="+", type=Path, help="LaTeX or Markdown files")
    args = parser.parse_args(argv)
    experiments = paths.experiments()
    loader = TableLoader(experiments, args.results, make_finder(paths.project(), experiments))
    cells: dict[str, dict[str, str]] = {}  # by table
    wrong = checked = 0
    for path in args.texts:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            print(f"{path}: cannot be read: {error.strerror if isinstance(error, OSError) else error}")
            wrong += 1
            continue
        for line, key, typed in find_quotes(text, comments=path.suffix == ".tex"):
            checked += 1
            name = table_of(key)
            if name not in cells and read.table_path(experiments, name).is_file():
                filled = loader.load(name)
                cells[name] = collect_cells(filled.table, filled.entries, filled.background)
            if error_text := explain_mismatch(key, typed, cells.get(name, {})):
                wrong += 1
                print(f"{path}:{line}: {error_text}")
    print(f"{checked} quotes, {wrong} wrong", file=sys.stderr)
    return 1 if wrong else 0
