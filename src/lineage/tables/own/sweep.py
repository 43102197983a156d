"""A sweep as a table: the swept keys are columns, its seeds are replicates, and the best is marked where it is sure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from lineage.results.entry import Entry
from lineage.results.overrides import Override
from lineage.tables.column import Column, build_columns
from lineage.tables.format.terminal import Grid, align
from lineage.tables.numbers import EMPTY, format_number
from lineage.tables.own.from_runs import list_metrics
from lineage.tables.statistics.seed_noise import SeedSample
from lineage.tables.table import Row, Table
from lineage.tables.verdicts import judge

NAME = "sweep/sweep"
SEED = "seed"


@dataclass(frozen=True, slots=True)
class SweptRun:
    overrides: Sequence[str]
    entry: Entry | None  # None: the job left no entry


def render_sweep(runs: Sequence[SweptRun]) -> str:
    """Return a line per combination of swept values: mean and spread over its seeds; "" if nothing was evaluated."""
    # 1. The swept keys beside the seed, and the values of each run.
    typed = [_read_overrides(run.overrides) for run in runs]
    names = [name for name in dict.fromkeys(key for values in typed for key in values) if _varies(name, typed)]
    levels = [tuple(values.get(name, EMPTY) for name in names) for values in typed]
    labels = {values: " ".join(values) or "all" for values in levels}
    # 2. The finished runs as rows of a table.
    finished = [
        replace(run.entry, table=NAME, row=labels[values], deviations=[])
        for run, values in zip(runs, levels, strict=True)
        if run.entry is not None and run.entry.status == "finished"
    ]
    if not finished:
        return ""
    table = _build_table(finished, labels.values())
    columns = [column for column in build_columns(table, finished, judge(table, finished)) if not column.cost]
    # 3. A line per combination and setting of the test.
    lines = [
        line
        for setting in dict.fromkeys(column.setting for column in columns)
        for line in _format_lines([column for column in columns if column.setting == setting], labels)
    ]
    titles = dict.fromkeys(column.name for column in columns)
    return align(Grid([*names, "n", *titles], lines)) + "\n" + _explain(columns) if lines else ""


def _read_overrides(overrides: Sequence[str]) -> dict[str, str]:
    parsed = [Override.parse(text) for text in overrides]
    return {override.name: override.value or "" for override in parsed if override.name != SEED}


def _varies(name: str, typed: Sequence[Mapping[str, str]]) -> bool:
    return len({values.get(name) for values in typed}) > 1


def _build_table(entries: Sequence[Entry], labels: Iterable[str]) -> Table:
    rows = {label: Row(label, label, {}, {}, {}) for label in labels}
    metrics = list_metrics(entries)
    dataset = entries[0].choices.get("dataset", "")
    return Table(NAME, "", "", "", "factorial", {}, dataset, metrics, 0.5, "", "", rows)


def _format_lines(columns: Sequence[Column], labels: Mapping[tuple[str, ...], str]) -> list[list[str]]:
    lines = []
    for levels, label in labels.items():
        cells = [column.samples.get(label) for column in columns]
        if not any(cells):
            continue
        values = [_format_sample(sample) + (" (best)" if column.best() == label else "")
                  for sample, column in zip(cells, columns, strict=True)]  # fmt: skip
        lines.append([*levels, str(max(sample.n for sample in cells if sample)), *values])
    return lines


def _format_sample(sample: SeedSample | None) -> str:
    if sample is None:
        return EMPTY
    mean = format_number(sample.mean)
    return mean if sample.sd is None else f"{mean} (sd {format_number(sample.sd, 2)})"


def _explain(columns: Sequence[Column]) -> str:
    if max(sample.n for column in columns for sample in column.samples.values()) < 2:
        return "One seed each: a difference may be noise. seed=0,1,2 beside the sweep repeats it.\n"
    if any(column.best() for column in columns):
        return "sd: the standard deviation over seeds; (best): better than every other row with 95 % confidence.\n"
    return "sd: the standard deviation over seeds; no row is better than every other one with 95 % confidence.\n"
