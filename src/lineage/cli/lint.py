"""`lineage lint [TABLE...]`: does each table isolate what it claims to isolate? Rules and reasons: docs/tables.md."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from lineage.launch import compose_rows, plan
from lineage.launch.compose_rows import Ask
from lineage.results import paths
from lineage.tables import read, tiers
from lineage.tables.lint import configs, words
from lineage.tables.lint.rules import ERROR, NOTE, RULES, WARNING, Finding, Subject
from lineage.tables.suggest import did_you_mean
from lineage.tables.table import Table, TableError
from lineage.tables.tiers import PAPER

CHECKS = (
    words.composes, words.declared, words.baseline, configs.one_factor, configs.cumulative, configs.factorial,
    configs.tested_alike, configs.separate, words.sourced, words.distinguishable, words.numbered, words.message,
    words.titled, words.priced, words.measurable, words.claimed, words.claims,
)  # fmt: skip
COLOURS = {ERROR: 31, WARNING: 33, NOTE: 36}


def main(argv: list[str]) -> int:
    asked = _parser().parse_args(argv)
    if asked.rule is not None:
        print(rule(asked.rule.upper()))
        return 0
    project = paths.project()
    experiments = paths.experiments()
    tiers.check_tier(experiments, asked.tier)
    known = read.list_tables(experiments)
    names = known if asked.all or not asked.tables else [_named(name) for name in asked.tables]
    if strange := [name for name in names if name not in known]:
        raise TableError(f"{experiments} has no table {strange[0]!r}. {did_you_mean(strange[0], known)}")
    shown = (ERROR,) if asked.quiet else tuple(COLOURS) if asked.notes else (ERROR, WARNING)
    counts: Counter[str] = Counter()
    for name in names:
        findings = _of(project, experiments, name, asked.tier)
        counts.update(finding.severity for finding in findings)
        if text := told(name, [one for one in findings if one.severity in shown], sys.stdout.isatty()):
            print(text)
    print(_sum(len(names), counts))
    return 1 if counts[ERROR] else 0


def lint(project: Path, tables: Iterable[Table]) -> dict[str, list[Finding]]:
    """The findings of each table, the worst first."""
    return {table.name: _sorted(_check(subject(project, table))) for table in tables}


def subject(project: Path, table: Table) -> Subject:
    """The table with its rows composed; those that are not ours to run are left out."""
    rows = [row for row in table.rows.values() if row.runs]
    made = compose_rows.rows(project, [Ask(table.name, row, PAPER) for row in rows])
    named = {row.name: one for row, one in zip(rows, made, strict=True)}
    whole = {name: one for name, one in named.items() if one.error is None}
    errors = {name: one.error for name, one in named.items() if one.error is not None}
    configs_of = {name: one.config for name, one in whole.items()}
    return Subject(table, configs_of, {name: one.choices for name, one in whole.items()}, errors)


def told(name: str, findings: list[Finding], colour: bool) -> str:
    """Grouped by rule, for a person."""
    lines: list[str] = []
    for key in dict.fromkeys(finding.rule for finding in findings):
        of_rule = [finding for finding in findings if finding.rule == key]
        level = of_rule[0].severity
        mark = f"\x1b[{COLOURS[level]}m{level}\x1b[0m" if colour else level
        lines.append(f"  {mark} {key}  {RULES[key].asks}")
        lines += [f"      {f'{finding.row}: ' if finding.row else ''}{finding.message}" for finding in of_rule]
    return "\n".join([name, *lines]) if lines else ""


def rule(key: str) -> str:
    if key not in RULES:
        raise TableError(f"there is no rule {key}. {did_you_mean(key, RULES)}")
    told = RULES[key]
    return f"{key} ({told.level}): {told.asks}.\nWhy: {told.why}.\nMore: docs/tables.md"


def _of(project: Path, experiments: Path, name: str, tier: str) -> list[Finding]:
    try:
        table = read.load_table(experiments, name)
    except TableError as error:
        return [Finding("T1", str(error))]
    if tier != PAPER:
        return list(apart(project, table, partial(read.load_table, experiments), tier))
    return lint(project, [table])[name]


def apart(project: Path, table: Table, tables: Callable[[str], Table], tier: str) -> Iterator[Finding]:
    """T16: what a tier makes of a schedule, a dataset or a backbone may be the same for two rows."""
    asked = [plan.Name(table.name, row.name, tier, 0) for row in table.rows.values() if row.runs]
    cells = plan.make(project, project, tables, asked, held=[]).cells
    recipes = {name.row: cells[name].recipe for name in asked}
    for effect in table.effects:
        better, worse = (recipes.get(row, "") for row in (effect.better, effect.worse))
        if better and better == worse:
            yield Finding("T16", f"{effect.better} and {effect.worse} are one experiment at tier {tier}")


def _check(one: Subject) -> list[Finding]:
    return [finding for check in CHECKS for finding in check(one)]


def _sorted(findings: list[Finding]) -> list[Finding]:
    order = list(COLOURS)
    return sorted(findings, key=lambda finding: order.index(finding.severity))


def _named(name: str) -> str:
    return name.removesuffix(".yaml").removeprefix("experiments/")


def _sum(tables: int, counts: Counter[str]) -> str:
    parts = [f"{counts[level]} {level}{'' if counts[level] == 1 else 's'}" for level in COLOURS]
    return f"{tables} tables: {', '.join(parts)}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lineage lint", description=__doc__)
    parser.add_argument("tables", nargs="*", metavar="TABLE", help="for example mask_rcnn/table2c (default: all)")
    parser.add_argument("--all", action="store_true", help="every table of experiments/")
    smaller = "of a smaller tier: which rows that claims compare are one experiment there (T16)"
    parser.add_argument("--tier", default=PAPER, help=smaller)
    parser.add_argument("--notes", action="store_true", help="also what is merely worth knowing")
    parser.add_argument("--quiet", action="store_true", help="errors only")
    parser.add_argument("--rule", metavar="RULE", help="what a rule asks and why, e.g. T2")
    return parser
