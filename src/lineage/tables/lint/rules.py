"""The rules of a table: the requirement, the reason, and the severity of a violation. docs/tables.md explains them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lineage.tables.lint.causes import RowConfig
from lineage.tables.table import Table

SEVERITIES = ERROR, WARNING, NOTE = "error", "warning", "note"


@dataclass(frozen=True, slots=True)
class Rule:
    level: str
    requirement: str
    why: str


RULES = {
    "T0": Rule(ERROR, "the file is a table", "nothing else can be checked"),
    "T1": Rule(ERROR, "an ablation declares its kind and its factor", "else it is not stated what a row may change"),
    "T2": Rule(
        ERROR,
        "rows differ from the baseline in the factor alone",
        "a second change could be the reason for the difference",
    ),
    "T3": Rule(ERROR, "a cumulative row takes one step from the row above", "a step of two changes is not attributed"),
    "T4": Rule(ERROR, "a factorial table has its full grid, or lists the gaps", "an unlisted gap looks like a choice"),
    "T5": Rule(ERROR, "all rows are tested alike", "numbers of two protocols do not belong in one column"),
    "T6": Rule(ERROR, "an ablation names its baseline, which has a number", "a gain is a gain over something"),
    "T7": Rule(ERROR, "every number has a source and a confidence", "a number without a source cannot be checked"),
    "T8": Rule(
        WARNING,
        "what is claimed is larger than twice the seed noise",
        "a smaller difference cannot be told from luck with one run",
    ),
    "T9": Rule(WARNING, "every row that could run has a published number", "a row without one can confirm nothing"),
    "T10": Rule(ERROR, "the message is one sentence and agrees with the numbers", "one table, one message"),
    "T11": Rule(ERROR, "every column has its own title", "two columns of one name cannot be told apart"),
    "T12": Rule(NOTE, "what changes along with the factor is listed with its reason", "it may be the reason"),
    "T13": Rule(
        WARNING,
        "a table about the architecture has a cost column",
        "a larger network is nearly always better; the question is at what price",
    ),
    "T14": Rule(ERROR, "the dataset and the model of a row can produce the metrics", "the cell would stay empty"),
    "T15": Rule(
        ERROR, "every row composes, and its values are what their keys take", "a row that cannot start is no row"
    ),
    "T16": Rule(
        WARNING,
        "at a smaller tier rows that a claim compares are still two experiments (`--tier`)",
        "one experiment run twice shows nothing",
    ),
    "T17": Rule(
        WARNING,
        "a smaller tier keeps the keys that a row sets (`--tier`)",
        "what experiments/tiers.yaml drops does not change the run",
    ),
    "T18": Rule(
        ERROR, "a part that rows vary is one that their model has", "a part that no model reads changes nothing"
    ),
    "C1": Rule(ERROR, "the claims hold for the published numbers", "else the claim or a number was copied wrongly"),
    "C2": Rule(ERROR, "an ablation has a claim", "a table that shows nothing need not be run"),
    "C3": Rule(ERROR, "no row is tested on what it was trained on", "such a number measures memory"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    rule: str
    message: str
    row: str | None = None  # None: the table as a whole
    level: str = ""  # if it is milder than its rule

    @property
    def severity(self) -> str:
        return self.level or RULES[self.rule].level


@dataclass(frozen=True, slots=True)
class Subject:
    """A table with the resolved configs and the choices of those of its rows that are ours to run."""

    table: Table
    configs: dict[str, dict[str, Any]]
    choices: dict[str, dict[str, str]]
    errors: dict[str, str] = field(default_factory=dict)  # rows that do not compose
    written: dict[str, dict[str, Any]] = field(default_factory=dict)  # the configs with their interpolations

    def list_metrics(self, name: str) -> list[str]:
        """Return the metrics of a row: the published ones; of a table of our own, all of the table."""
        return list(self.table.metrics if self.table.is_own else self.table.rows[name].published)

    def row_config(self, name: str) -> RowConfig:
        return RowConfig(self.configs[name], self.written.get(name, self.configs[name]))

    @property
    def ablation(self) -> bool:
        return self.table.kind in ABLATIONS


ABLATIONS = ("one_factor", "ordered", "factorial", "cumulative")
