"""`lineage check-text`: do the numbers of a text equal those of the store that it quotes, and those of its tables?"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from lineage.launch.current_rows import make_finder
from lineage.results import paths
from lineage.results.count_noun import count_noun
from lineage.tables import read
from lineage.tables.format import latex_tables
from lineage.tables.format.load import TableLoader
from lineage.tables.format.quote import blank_code, collect_cells, explain_mismatch, find_quotes, table_of
from lineage.tables.suggest import did_you_mean
from lineage.tables.table import Table

EPILOG = """A comment in or above a tabular of a .tex file names its table: % lineage: mask_rcnn/table2c, or
mini:mask_rcnn/table2c for the cells of tier mini. Its rows are matched by label, its columns by title. --tables also
reads tabulars without such a comment, and lists their numbers that are in no cell of any table."""

Cells = dict[str, str]


class CellReader:
    """Cells of the store by table, each table read once."""

    def __init__(self, loader: TableLoader) -> None:
        self.loader = loader
        self._tables: dict[str, tuple[Table, Cells]] = {}

    def load(self, name: str) -> tuple[Table, Cells] | None:
        """Return a table and the text of its cells; None if there is no such table."""
        if name not in self._tables and read.table_path(self.loader.experiments, name).is_file():
            filled = self.loader.load(name)
            self._tables[name] = filled.table, collect_cells(filled.table, filled.entries, filled.background)
        return self._tables.get(name)

    def list_values(self) -> set[str]:
        """Return the texts of all cells of all tables."""
        loaded = [self.load(name) for name in read.list_tables(self.loader.experiments)]
        return {text for pair in loaded if pair for text in pair[1].values()}


def main(argv: list[str]) -> int:
    """Print a line per wrong number; return 1 if there is any."""
    args = _parser().parse_args(argv)
    experiments = paths.experiments()
    cells = CellReader(TableLoader(experiments, args.results, make_finder(paths.project(), experiments)))
    errors, quotes, numbers, examples = 0, 0, 0, 0
    for path in args.texts:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            print(f"{path}: cannot be read: {error.strerror if isinstance(error, OSError) else error}")
            errors += 1
            continue
        quoted = [*find_quotes(text, comments=path.suffix == ".tex")]
        if path.suffix == ".md":
            everywhere, quoted = len(quoted), [*find_quotes(blank_code(text), comments=False)]
            examples += everywhere - len(quoted)
        tables = [*latex_tables.find_tables(text)] if path.suffix == ".tex" else []
        chosen = [table for table in tables if table.name or args.tables]
        lines = [*_check_quotes(quoted, cells), *(line for table in chosen for line in _check_table(table, cells))]
        quotes, numbers = quotes + len(quoted), numbers + sum(len(table.numbers) for table in chosen)
        errors += len(lines)
        for line, message in sorted(lines):
            print(f"{path}:{line}: {message}")
    of_tables = f", {count_noun(numbers, 'number')} of tables" if numbers else ""
    in_code = f"; {examples} more stand in code, as examples, and were not checked" if examples else ""
    print(f"{count_noun(quotes, 'quote')}{of_tables}, {errors} wrong{in_code}", file=sys.stderr)
    return 1 if errors else 0


def _check_quotes(quotes: list[tuple[int, str, str | None]], cells: CellReader) -> Iterator[tuple[int, str]]:
    for line, key, typed in quotes:
        loaded = cells.load(table_of(key))
        if error := explain_mismatch(key, typed, loaded[1] if loaded else {}):
            yield line, error


def _check_table(typed: latex_tables.TypedTable, cells: CellReader) -> Iterator[tuple[int, str]]:
    if not typed.name:
        yield from latex_tables.check_unnamed(typed, cells.list_values())
        return
    name = typed.name.rpartition(":")[2]
    loaded = cells.load(name)
    if loaded is None:
        tables = read.list_tables(cells.loader.experiments)
        yield typed.line, f"% lineage: {typed.name}: there is no such table. {did_you_mean(name, tables)}"
        return
    yield from latex_tables.check_named(typed, *loaded)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lineage check-text", description=__doc__, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--results", type=Path, default=paths.results(), help="the store (default: %(default)s)")
    parser.add_argument("--tables", action="store_true", help="also read tabulars that name no table")
    parser.add_argument("texts", nargs="+", type=Path, help="LaTeX or Markdown files")
    return parser
