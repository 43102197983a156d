r"""Cells of the store that a paper's text quotes: \lineage{mask_rcnn/table2c/roi_align/mask_AP}{30.3}.

`lineage quote` writes the macro and the number of every key; `lineage check-text` fails if the number typed beside a
key is not the number of the store. A key is TABLE/ROW/METRIC with the metric's slash as an underscore, and a part after
it: sd, n, published, diff or verdict. Without a part it is the mean. A tier other than paper begins the key:
mini:mask_rcnn/table2c/roi_align/mask_AP.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lineage.results.entry import Entry
from lineage.tables import verdicts
from lineage.tables.column import build_columns
from lineage.tables.format.latex import escape
from lineage.tables.numbers import EMPTY, format_number
from lineage.tables.samples import drop_superseded
from lineage.tables.suggest import did_you_mean
from lineage.tables.table import Table
from lineage.tables.tiers import PAPER
from lineage.tables.verdicts import Background

QUOTE = re.compile(r"(?<!\\)\\lineage\{([^{}\s]+)\}(?:\{([^{}]*)\})?")
CODE = re.compile(r"^(```|~~~).*?^\1|(`+)(?!`).+?(?<!`)\2(?!`)", re.DOTALL | re.MULTILINE)
COMMENT = re.compile(r"(?<!\\)%.*")
MACRO = r"""% written by `lineage quote`; \input it in the preamble
\makeatletter
\newcommand{\lineage}[1]{\@ifundefined{lineage@#1}%
  {\PackageError{lineage}{nothing is known as #1}{Run lineage quote again.}}{\@nameuse{lineage@#1}}%
  \@ifnextchar\bgroup{\@gobble}{}}
"""


def find_quotes(text: str, comments: bool) -> Iterator[tuple[int, str, str | None]]:
    """Yield (line, key, number typed beside it or None); with `comments`, % begins a comment, as in LaTeX."""
    if comments:
        text = "\n".join(COMMENT.sub("", line) for line in text.split("\n"))
    for match in QUOTE.finditer(text):
        yield text.count("\n", 0, match.start()) + 1, match[1], match[2]


def blank_code(text: str) -> str:
    """Return a Markdown text with blanks in place of its code, fenced or inline: a quote in it is an example."""
    return CODE.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def table_of(key: str) -> str:
    """Return the table of a key: mini:mask_rcnn/table2c/roi_align/mask_AP -> mask_rcnn/table2c."""
    return "/".join(key.rpartition(":")[2].split("/")[:2])


def explain_mismatch(key: str, typed: str | None, cells: dict[str, str]) -> str:
    """Return the error in a quote, or "" if the text and the store agree."""
    if key not in cells:
        return f"\\lineage{{{key}}}: no such cell has a value. {did_you_mean(key, cells)}"
    if typed is None:
        return ""
    ours, stored = (text.strip().strip("$").replace("\N{MINUS SIGN}", "-") for text in (typed, cells[key]))
    if ours == stored:
        return ""
    return f"\\lineage{{{key}}}: the text says {ours!r}, the store says {stored!r}"


def collect_cells(table: Table, entries: list[Entry], background: Background | None = None) -> dict[str, str]:
    """Return key -> text of every cell with a value; runs with deviations are left out."""
    cells: dict[str, str] = {}
    valid = drop_superseded(entries)
    for column in build_columns(table, valid, verdicts.judge(table, valid, background)):
        setting, words = column.setting, column.verdicts
        for name, row in table.rows.items():
            key, decimals = f"{table.name}/{name}/{column.metric.replace('/', '_')}", column.decimals
            # 1. The paper's number, whatever has run.
            published = row.published.get(column.metric)
            if published is not None:
                cells[f"{key}/published"] = format_number(published, decimals)
                cells.setdefault(f"{key}/verdict", verdicts.MISSING if words else EMPTY)
            # 2. Ours, of this setting's tier.
            sample = column.samples.get(name)
            if sample is None or setting is None or setting.deviations:
                continue
            prefix = key if setting.tier == PAPER else f"{setting.tier}:{key}"
            cells[prefix] = format_number(sample.mean, decimals)
            cells[f"{prefix}/n"] = str(sample.n)
            cells[f"{prefix}/verdict"] = words.get(name, EMPTY)
            cells[f"{prefix}/sd"] = format_number(sample.sd, decimals)
            cells[f"{prefix}/diff"] = format_number(column.difference(row), decimals, sign=True)
    return {key: text for key, text in cells.items() if text != EMPTY}


def render_macros(cells: dict[str, str]) -> str:
    """Return the definition of \\lineage and one line per key, sorted: a changed number is a changed line."""
    lines = [rf"\@namedef{{lineage@{key}}}{{{escape(text)}}}" for key, text in sorted(cells.items())]
    return "\n".join([MACRO.rstrip(), *lines, r"\makeatother"]) + "\n"
