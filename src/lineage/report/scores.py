"""The tables of numbers: a row per task with the paper's below it, and a row per class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import isnan

from lineage.tables.numbers import format_number

Values = Mapping[str, float | None]
MAIN = ("AP", "AP50", "AP75", "APs", "APm", "APl")  # the papers' columns; the others follow as the evaluator has them


def render_metrics(values: Values, published: Values, comparable: bool) -> str:
    """Return a row per task and, if the paper printed numbers, a row of these below it.

    `comparable`: the run is of the paper's own protocol; otherwise the paper's row is marked as of full size.
    """
    if not values:
        return '<p class="lede">This run ended before its first evaluation.</p>'
    tasks = list(dict.fromkeys(name.partition("/")[0] for name in values))
    names = list(dict.fromkeys(name.partition("/")[2] for name in values))
    columns = [name for name in MAIN if name in names] + [name for name in names if name not in MAIN]
    rows = []
    for task in tasks:
        rows.append(_row(task, [values.get(f"{task}/{column}") for column in columns]))
        paper = [published.get(f"{task}/{column}") for column in columns]
        if any(value is not None for value in paper):
            rows.append(_row("paper" if comparable else "paper, at full size", paper, "paper"))
    return _table(["", *columns], rows, "tasks")


def render_classes(per_class: Mapping[str, Values]) -> str:
    """Return a row per class, best first; classes without objects have no score and come last."""
    if not per_class:
        return ""
    columns = list(dict.fromkeys(name for values in per_class.values() for name in values))
    first = next((name for name in columns if name.startswith("mask/")), columns[0])
    ranked = sorted(per_class.items(), key=lambda item: -_finite(item[1].get(first), -1))
    rows = []
    for name, values in ranked:
        width = max(0, min(100, _finite(values.get(first), 0)))
        bar = f'<td class="bar"><i style="width:{width:.1f}%"></i></td>'
        rows.append(_row(name, [values.get(column) for column in columns], after=bar))
    return _table(["", *columns, first], rows, "classes")


def _table(head: Sequence[str], rows: Sequence[str], kind: str) -> str:
    cells = "".join(f"<th>{escape(name)}</th>" for name in head)
    table = f'<table class="{kind}"><thead><tr>{cells}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    return f'<div class="scroll">{table}</div>'


def _row(name: str, values: Sequence[float | None], kind: str = "ours", after: str = "") -> str:
    cells = "".join(f"<td>{format_number(value)}</td>" for value in values)
    return f'<tr class="{kind}"><td>{escape(name)}</td>{cells}{after}</tr>'


def _finite(value: float | None, otherwise: float) -> float:
    return otherwise if value is None or isnan(value) else value
