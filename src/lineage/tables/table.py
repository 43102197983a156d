"""A paper's table as data: the changes that its rows make, the paper's numbers, and its conclusions from them.

`experiments/mask_rcnn/table2c.yaml` is the table `mask_rcnn/table2c`; read.py reads it, docs/tables.md explains it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

KINDS = {
    "one_factor": "each row differs from the baseline in the factor alone",
    "ordered": "one_factor whose rows are steps of a scale: 50, 100, 300 proposals",
    "factorial": "every combination of the levels of its factors, or the gaps listed",
    "cumulative": "each row adds to the row above",
    "headline": "whole systems beside each other; nothing is isolated",
    "cost": "what something costs in time or memory",
    "seed_variance": "the spread of one experiment over its seeds",
    "zoo": "a list of trained models",
}
COST = "cost/"  # prefix of metrics that depend on the machine: shown, never judged
COSTS = {  # those that are measured here
    "cost/gpu_hours": "hours of training times devices",
    "cost/hours": "hours of training",
    "cost/step_seconds": "seconds per training step",
    "cost/image_ms": "milliseconds per image at test time",
    "cost/image_ms_p95": "95th percentile of these milliseconds (`lineage latency`)",
    "cost/images_per_second": "images per second at test time",
    "cost/watts": "power at test time, watts (`lineage latency`)",
    "cost/memory_gb": "peak memory of one device in training, GB",
    "cost/parameters_m": "parameters, millions",
    "cost/gflops": "10^9 multiply-adds of one image",
}


class ParentRole(StrEnum):
    """The kind of result that a row takes from another row."""

    EVALUATE = "from"  # its checkpoint, to test it
    START = "start"  # its weights, to train on
    PROPOSALS = "proposals"
    LABELS = "labels"  # those it gave to images without labels


class TableError(ValueError):
    """A table file with a missing, unknown or wrong key; the message names the file and the key."""


@dataclass(frozen=True)
class Detail:
    """A published number beyond its value: its spread and its source."""

    sd: float | None = None  # over `runs` repetitions of the authors
    runs: int = 1
    source: str = ""  # "" is that of the row or table
    confidence: str = ""


@dataclass(frozen=True)
class Row:
    """One row: its options and its values of config keys, those of the base included."""

    name: str
    label: str
    choices: dict[str, str]  # yaml "with": config group -> option
    assignments: dict[str, Any]  # yaml "set": dotted key -> value
    published: dict[str, float]
    unsupported: str | None = None  # the reason why this row cannot run yet
    note: str = ""
    quoted: str | None = None  # the system outside the lineage whose number it is; it is shown and never run
    evaluates: str | None = None  # yaml "from": the row whose checkpoint this one tests
    start: str | None = None  # the row from whose weights the training starts
    proposals: str | None = None  # the row whose proposals this one is trained and tested on
    labels: str | None = None  # the row that labelled further training images
    covaries: dict[str, str] = field(default_factory=dict)  # key that changes beside the factor -> why it has to
    deviates: dict[str, str] = field(default_factory=dict)  # setting of the source that differs -> how
    details: dict[str, Detail] = field(default_factory=dict)  # of published numbers, where there is something to say
    own: tuple[str, ...] = ()  # groups and keys of this row itself, not of the base
    source: str = ""
    confidence: str = ""
    tier: str = "paper"  # the tier whose options and values these are; at others they are translated
    at: dict[str, dict[str, Any]] = field(default_factory=dict)  # tier -> keys that the table sets at it, and values

    @property
    def runs(self) -> bool:
        """True if it is ours to run."""
        return self.unsupported is None and self.quoted is None

    @property
    def uses(self) -> dict[ParentRole, str]:
        """The rows whose results it needs, by what it takes from them."""
        names = {
            ParentRole.EVALUATE: self.evaluates, ParentRole.START: self.start, ParentRole.PROPOSALS: self.proposals,
            ParentRole.LABELS: self.labels,
        }  # fmt: skip
        return {role: row for role, row in names.items() if row is not None}


@dataclass(frozen=True)
class Claim:
    """The paper's number for one cell."""

    row: str
    metric: str
    value: float
    tolerance: float
    detail: Detail = Detail()
    quote: str = ""


@dataclass(frozen=True)
class Effect:
    """The paper's statement about two rows: one is better (by `gain`, if it gives a size), or they are equal."""

    kind: str  # gain, order or equal
    better: str
    worse: str
    metric: str
    gain: float | None
    tolerance: float
    quote: str = ""  # the paper's words
    source: str = ""  # where they stand, if not in the table


@dataclass(frozen=True)
class Table:
    name: str  # "mask_rcnn/table2c"
    paper: str
    label: str
    message: str
    kind: str  # one of KINDS
    factor: dict[str, tuple[str, ...]]  # name of a factor that the rows vary -> its config groups and keys
    dataset: str  # on which the numbers were measured; it also selects the published seed noise
    metrics: dict[str, str]  # metric -> the paper's column title; the first is the one that counts
    tolerance: float  # a difference to the paper that still counts as the same number
    source: str
    confidence: str
    rows: dict[str, Row]
    effects: list[Effect] = field(default_factory=list)
    note: str = ""
    arxiv: str = ""
    split: str = ""  # of the dataset, where it is not ours: "test-dev"
    baseline: str | None = None  # the row that the others are compared with
    lower: frozenset[str] = frozenset()  # metrics of which less is better
    covaries: dict[str, str] = field(default_factory=dict)
    gaps: list[dict[str, str]] = field(default_factory=list)  # factorial: combinations the paper left out
    unsupported: str | None = None
    mixed: str | None = None  # the reason why rows that are tested differently stand in one table
    values: dict[tuple[str, str], Claim] = field(default_factory=dict)  # (row, metric) -> a claim of the file itself
    tier: str = "paper"  # of its rows
    seeds: int | None = None  # of each row, planned before the first run

    @property
    def is_own(self) -> bool:
        """True if it is an experiment of ours: without a source, it has no published numbers."""
        return not self.source

    @cached_property
    def claims(self) -> list[Claim]:
        """One claim per published number that our runs can have; costs depend on the machine and are not claims."""
        cells = ((row, metric, value) for row in self.rows.values() for metric, value in row.published.items())
        return [self._claim(*cell) for cell in cells if not cell[1].startswith(COST) and cell[0].quoted is None]

    def _claim(self, row: Row, metric: str, value: float) -> Claim:
        stated = self.values.get((row.name, metric))
        return stated or Claim(row.name, metric, value, self.tolerance, row.details.get(metric, Detail()))

    @property
    def costs(self) -> list[str]:
        return [metric for metric in self.metrics if metric.startswith(COST)]

    @property
    def measures(self) -> list[str]:
        """The metrics that are judged."""
        return [metric for metric in self.metrics if not metric.startswith(COST)]
