"""An ablation of our own as a file of experiments/: without published numbers, without a source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from lineage.tables.own.variation import OwnRow, Setting
from lineage.tables.table import ParentRole
from lineage.tables.tiers import PAPER


@dataclass(frozen=True, slots=True)
class OwnTable:
    """The contents of a file of our own."""

    name: str
    message: str
    metrics: Mapping[str, Any]  # as the file has them
    dataset: str
    base: Sequence[Setting]  # of all rows
    rows: Sequence[OwnRow]
    factors: Sequence[str]
    uses: Mapping[ParentRole, str] = field(default_factory=dict)  # rows whose results each row takes, in full
    baseline: str = ""  # "" is the first row
    tier: str = PAPER
    seeds: int | None = None
    seeds_of_rows: Mapping[str, Sequence[int]] = field(default_factory=dict)  # of the runs that it is written from
    gaps: Sequence[Mapping[str, Any]] = ()  # combinations of levels without a row
    origin: str = ""  # a comment: what it was written from


def choose_baseline(rows: Sequence[OwnRow], present: Sequence[Setting]) -> str:
    """Return the row whose levels are most of those present before anything was varied."""
    texts = set(map(str, present))
    return max(rows, key=lambda row: sum(str(setting) in texts for setting in row.settings)).name


def render_own_table(table: OwnTable) -> str:
    """Return the text of the file."""
    kind = "one_factor" if len(table.factors) == 1 else "factorial"
    factor = table.factors[0] if len(table.factors) == 1 else f"[{', '.join(table.factors)}]"
    lines = [f"# {table.origin}"] if table.origin else []
    lines += [
        f"paper: {_flow(table.name.partition('/')[0])}",
        f"label: {_flow(table.name.partition('/')[2])}",
        f"message: {_flow(table.message)}  # one sentence: what you expect, then what came of it",
        f"kind: {kind}",
        f"factor: {factor}",
        f"baseline: {_flow(table.baseline or table.rows[0].name)}",
        f"dataset: {_flow(table.dataset)}",
        f"metrics: {_flow(dict(table.metrics))}",
    ]
    lines += [f"gaps: {_flow([dict(gap) for gap in table.gaps])}"] if table.gaps else []
    lines += [f"tier: {table.tier}  # whose options and values these are"] if table.tier != PAPER else []
    lines += [f"seeds: {table.seeds}"] if table.seeds else []
    if table.base:
        lines.append(f"base: {_flow(_split(table.base))}")
    lines.append("rows:")
    for row in table.rows:
        record = {"label": row.label, **{str(role): name for role, name in table.uses.items()}, **_split(row.settings)}
        lines.append(f"  {_flow(row.name)}: {_flow(record)}")
    example = f"{{better: {table.rows[-1].name}, worse: {table.rows[0].name}, metric: {next(iter(table.metrics))}}}"
    lines += ["# claims:  # state them before the runs, and they are judged", f"#   - {example}"]
    return "\n".join(lines) + "\n"


def _split(settings: Sequence[Setting]) -> dict[str, Any]:
    """Return `with` and `set` of some settings; what is empty is left out."""
    parts = {
        "with": {setting.name: setting.value for setting in settings if setting.is_group},
        "set": {setting.name: setting.value for setting in settings if not setting.is_group},
    }
    return {name: values for name, values in parts.items() if values}


def _flow(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, sort_keys=False, allow_unicode=True)
    return text.strip().removesuffix("...").strip()
