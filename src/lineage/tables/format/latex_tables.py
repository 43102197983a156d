r"""Plain tables of a paper's LaTeX: numbers that somebody typed, beside the cells of the store that they stand for.

A comment in or above a tabular names its table: `% lineage: mask_rcnn/table2c`, at another tier than paper
`% lineage: mini:mask_rcnn/table2c`. Rows are matched by their label or name, columns by the title of the metric.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lineage.tables.table import Table

TABULAR = re.compile(r"\\begin\{(tabular[*xy]?|longtable)\}(.*?)\\end\{\1\}", re.DOTALL)
NAMED = re.compile(r"%+\s*lineage:\s*(\S+)")
COMMENT = re.compile(r"(?<!\\)%.*")
SPECIFICATION = re.compile(r"^\s*(?:\[[^\]]*\])?(?:\s*\{(?:[^{}]|\{[^{}]*\})*\})+")
RULES = re.compile(r"\\(?:(?:top|mid|bottom)rule|hline|cmidrule(?:\([^)]*\))?\{[^}]*\}|cline\{[^}]*\}|addlinespace"
                   r"(?:\[[^\]]*\])?|specialrule(?:\{[^}]*\}){3})")  # fmt: skip
MULTICOLUMN = re.compile(r"\\multicolumn\{(\d+)\}\{[^{}]*\}\{((?:[^{}]|\{[^{}]*\})*)\}")
COMMAND = re.compile(r"\\(?:text|math)?(?:bf|it|rm|sf|tt|sc)?\w*\{((?:[^{}]|\{[^{}]*\})*)\}")
NUMBER = re.compile(r"[-+]?\d+\.\d+|[-+]?\d+")
ABOVE = 300  # characters above a tabular in which its comment may stand


@dataclass(frozen=True, slots=True)
class TypedNumber:
    """A number of a tabular with its place in it."""

    line: int
    text: str
    row: str
    column: str


@dataclass(frozen=True, slots=True)
class TypedTable:
    """A tabular: the table that it names, "" without one, and its numbers."""

    line: int
    name: str
    numbers: Sequence[TypedNumber]


def find_tables(text: str) -> Iterator[TypedTable]:
    """Yield the tabulars of a LaTeX file."""
    end = 0
    for match in TABULAR.finditer(text):
        names = NAMED.findall(text, max(end, match.start() - ABOVE), match.end())
        line = text.count("\n", 0, match.start()) + 1
        yield TypedTable(line, names[-1] if names else "", list(_read_numbers(match[2], line)))
        end = match.end()


def _read_numbers(body: str, line: int) -> Iterator[TypedNumber]:
    """Yield the numbers below the head, whose last row without numbers has the titles of the columns."""
    body = COMMENT.sub("", body)
    specification = SPECIFICATION.match(body)
    start = specification.end() if specification else 0
    titles: list[str] = []
    for row in re.finditer(r"((?:(?!\\\\).)*)(?:\\\\|\Z)", body[start:], re.DOTALL):
        cells = _split_cells(row[1])
        if not any(cells):
            continue
        first = len(row[1]) - len(RULES.sub("", row[1]).lstrip())
        at = line + body.count("\n", 0, start + row.start() + first)
        numbers = [(i, cell) for i, cell in enumerate(cells) if i and NUMBER.match(cell)]
        if not numbers:
            titles = cells
        for i, cell in numbers:
            yield TypedNumber(at, NUMBER.match(cell)[0], cells[0], titles[i] if i < len(titles) else "")  # type: ignore[index]


def _split_cells(row: str) -> list[str]:
    row = RULES.sub("", row)
    row = MULTICOLUMN.sub(lambda match: match[2] + " &" * (int(match[1]) - 1), row)
    return [clean(cell) for cell in re.split(r"(?<!\\)&", row)]


def clean(text: str) -> str:
    r"""Return a cell without its typesetting: `$\mathbf{30.3} \pm 0.2$` is `30.3 ± 0.2`."""
    text = text.replace(r"\pm", "±").replace("$", "").replace("~", " ").replace("−", "-")  # noqa: RUF001
    while (shorter := COMMAND.sub(r"\1", text)) != text:
        text = shorter
    return " ".join(re.sub(r"\\[,;: ]|\\(?=[%_&#])|[{}]", "", text).split())


def check_named(typed: TypedTable, table: Table, cells: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    """Yield (line, error) for each number without a cell behind it, or with another number there."""
    tier = typed.name.rpartition(":")[0]
    rows = {_normalize(name): row.name for row in table.rows.values() for name in (row.name, row.label)}
    columns = {_normalize(name): metric for metric, title in table.metrics.items() for name in (metric, title)}
    for number in typed.numbers:
        row, metric = rows.get(_normalize(number.row)), columns.get(_normalize(number.column))
        where = f"{number.text} ({number.row}, {number.column})"
        if row is None or metric is None:
            lacking = f"row {number.row!r}" if row is None else f"column {number.column!r}"
            yield number.line, f"{where}: {table.name} has no {lacking}, so no cell is behind this number"
            continue
        key = f"{table.name}/{row}/{metric.replace('/', '_')}"
        values = [cells[cell] for cell in (f"{tier}:{key}" if tier else key, f"{key}/published") if cell in cells]
        if not values:
            yield number.line, f"{where}: no cell is behind this number: nothing has run or is published"
        elif not any(_agrees(number.text, value) for value in values):
            yield number.line, f"{where}: the store says {' and the paper '.join(values)}"


def check_unnamed(typed: TypedTable, values: Collection[str]) -> Iterator[tuple[int, str]]:
    """Yield (line, error) for each number with decimals that is in no cell of any table."""
    for number in typed.numbers:
        if "." in number.text and not any(_agrees(number.text, value) for value in values):
            yield number.line, f"{number.text} ({number.row}, {number.column}): in no cell of any table"


def _agrees(typed: str, stored: str) -> bool:
    """Return whether two numbers are equal as printed, with the decimals of the shorter one."""
    try:
        decimals = min(len(text.partition(".")[2]) for text in (typed, stored))
        return round(float(typed), decimals) == round(float(stored), decimals)
    except ValueError:
        return False


def _normalize(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())
