"""A paper's table as data: what its rows change, what the paper measured, and what it concludes from that.

`experiments/mask_rcnn/table2c.yaml` is the table `mask_rcnn/table2c`; read.py reads it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

KINDS = ("one_factor", "ordered", "factorial", "cumulative", "headline")


class TableError(ValueError):
    """A table file that does not say what a table must say; the message names the file and the key."""


@dataclass(frozen=True)
class Row:
    """One row: the options it chooses and the keys it sets, those of the base included."""

    name: str
    label: str
    choose: dict[str, str]  # yaml "with": config group -> option
    assign: dict[str, Any]  # yaml "set": dotted key -> value
    published: dict[str, float]
    unsupported: str | None = None  # why this row cannot run yet
    note: str = ""


@dataclass(frozen=True)
class Claim:
    """The paper's number for one cell."""

    row: str
    metric: str
    value: float
    tolerance: float


@dataclass(frozen=True)
class Effect:
    """What the paper says about two rows: one is better (by `gain`, if it says how much), or they are equal."""

    kind: str  # gain, order or equal
    better: str
    worse: str
    metric: str
    gain: float | None
    tolerance: float


@dataclass(frozen=True)
class Table:
    name: str  # "mask_rcnn/table2c"
    paper: str
    label: str
    message: str
    kind: str
    factor: str | None  # what the rows vary: a config group or key
    dataset: str  # what the numbers were measured on; names the published seed noise
    metrics: dict[str, str]  # metric -> the paper's column title; the first is the one that counts
    tolerance: float  # a difference to the paper that still counts as the same number
    source: str
    confidence: str
    rows: dict[str, Row]
    effects: list[Effect] = field(default_factory=list)
    note: str = ""

    @property
    def claims(self) -> list[Claim]:
        cells = ((row.name, metric, value) for row in self.rows.values() for metric, value in row.published.items())
        return [Claim(row, metric, value, self.tolerance) for row, metric, value in cells]
