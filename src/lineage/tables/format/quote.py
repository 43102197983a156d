r"""A paper's text quotes cells of the store: \lineage{mask_rcnn/table2c/roi_align/mask_AP}{30.3}.

`lineage quote` writes the macro and what every key stands for; `lineage check-text` fails where the number typed beside
a key is not the number of the store. A key is TABLE/ROW/METRIC with the metric's slash as an underscore, and a part
after it: sd, n, published, diff or verdict. Without a part it is the mean. A tier other than paper begins the key:
mini:mask_rcnn/table2c/roi_align/mask_AP.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from lineage.results import paths as places
from lineage.results.entry import Entry
from lineage.tables import read, verdicts
from lineage.tables.column import EMPTY, columns
from lineage.tables.format.latex import escape
from lineage.tables.format.load import entries
from lineage.tables.format.view import number
from lineage.tables.suggest import did_you_mean
from lineage.tables.table import Table
from lineage.tables.tiers import PAPER

QUOTE = re.compile(r"(?<!\\)\\lineage\{([^{}\s]+)\}(?:\{([^{}]*)\})?")
COMMENT = re.compile(r"(?<!\\)%.*")
MACRO = r"""% written by `lineage quote`; \input it in the preamble
\makeatletter
\newcommand{\lineage}[1]{\@ifundefined{lineage@#1}%
  {\PackageError{lineage}{nothing is known as #1}{Run lineage quote again.}}{\@nameuse{lineage@#1}}%
  \@ifnextchar\bgroup{\@gobble}{}}
"""


def quote(argv: list[str]) -> int:
    parser = _parser("quote", "Macros with which a paper's text quotes cells of the store.")
    parser.add_argument("name", nargs="?", help="one table, e.g. mask_rcnn/table2c")
    parser.add_argument("--all", action="store_true", help="every table")
    parser.add_argument("--out", type=Path, help="the file to write (default: print)")
    asked = parser.parse_args(argv)
    experiments = places.experiments()
    if bool(asked.name) == asked.all:
        parser.error("give one TABLE or --all")
    names = read.names(experiments) if asked.all else [asked.name.removesuffix(".yaml")]
    numbers: dict[str, str] = {}
    for name in names:
        numbers |= cells(read.load(experiments, name), entries(asked.results / name))
    text = macros(numbers)
    if asked.out is None:
        print(text, end="")
        return 0
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(text, encoding="utf-8")
    print(f"{len(numbers)} numbers of {len(names)} tables are in {asked.out}")
    return 0


def check_text(argv: list[str]) -> int:
    parser = _parser("check-text", "Do the numbers of a text equal those of the store that it quotes?")
    parser.add_argument("texts", nargs="+", type=Path, help="LaTeX or Markdown files")
    asked = parser.parse_args(argv)
    experiments = places.experiments()
    held: dict[str, dict[str, str]] = {}
    wrong = checked = 0
    for path in asked.texts:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            print(f"{path}: cannot be read: {error.strerror if isinstance(error, OSError) else error}")
            wrong += 1
            continue
        for line, key, typed in quoted(text, comments=path.suffix == ".tex"):
            checked += 1
            name = "/".join(key.partition(":")[2].split("/")[:2] if ":" in key else key.split("/")[:2])
            if name not in held and read.file(experiments, name).is_file():
                held[name] = cells(read.load(experiments, name), entries(asked.results / name))
            fault = disagreement(key, typed, held.get(name, {}))
            if fault:
                wrong += 1
                print(f"{path}:{line}: {fault}")
    print(f"{checked} quotes, {wrong} wrong", file=sys.stderr)
    return 1 if wrong else 0


def quoted(text: str, comments: bool) -> Iterator[tuple[int, str, str | None]]:
    """(line, key, number typed beside it) of every quote; `comments`: what % begins is none."""
    if comments:
        text = "\n".join(COMMENT.sub("", line) for line in text.split("\n"))
    for found in QUOTE.finditer(text):
        yield text.count("\n", 0, found.start()) + 1, found[1], found[2]


def disagreement(key: str, typed: str | None, known: dict[str, str]) -> str:
    """What is wrong with a quote; empty where the text and the store agree."""
    if key not in known:
        return f"\\lineage{{{key}}}: no such cell has a value. {did_you_mean(key, known)}"
    if typed is None:
        return ""
    said, holds = (text.strip().strip("$").replace("\N{MINUS SIGN}", "-") for text in (typed, known[key]))
    if said == holds:
        return ""
    return f"\\lineage{{{key}}}: the text says {said!r}, the store says {holds!r}"


def cells(table: Table, held: list[Entry]) -> dict[str, str]:
    """Key -> what it prints. Only runs without deviations are quoted."""
    made: dict[str, str] = {}
    for column in columns(table, verdicts.valid(held)):
        words = column.words
        for name, row in table.rows.items():
            key, places = f"{table.name}/{name}/{column.metric.replace('/', '_')}", column.decimals
            published = row.published.get(column.metric)
            if published is not None:
                made[f"{key}/published"] = number(published, places)
                made.setdefault(f"{key}/verdict", verdicts.MISSING if words else EMPTY)
            ours = column.ours.get(name)
            if ours is None or column.where is None or column.where.deviations:
                continue
            key = key if column.where.tier == PAPER else f"{column.where.tier}:{key}"
            told = {"": number(ours.mean, places), "/n": str(ours.n), "/verdict": words.get(name, EMPTY)}
            told |= {"/sd": number(ours.sd, places)} if ours.sd is not None else {}
            difference = column.difference(row)
            told |= {"/diff": number(difference, places, sign=True)} if difference is not None else {}
            made |= {key + part: text for part, text in told.items()}
    return {key: text for key, text in made.items() if text != EMPTY}


def macros(numbers: dict[str, str]) -> str:
    """The definition of \\lineage and one line per key, sorted: a changed number is a changed line."""
    lines = [rf"\@namedef{{lineage@{key}}}{{{escape(text)}}}" for key, text in sorted(numbers.items())]
    return "\n".join([MACRO.rstrip(), *lines, r"\makeatother"]) + "\n"


def _parser(name: str, text: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"lineage {name}", description=text)
    parser.add_argument("--results", type=Path, default=places.results(), help="the store (default: %(default)s)")
    return parser
