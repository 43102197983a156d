"""Lint of tables: each row composed, then held to the rules of tables/lint."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from lineage.launch.cells import CellName, build_cells
from lineage.launch.compose_rows import RowRequest, compose_rows, count_processes
from lineage.tables.lint import config_rules, text_rules
from lineage.tables.lint.rules import NOTE, SEVERITIES, Finding, Subject
from lineage.tables.table import Table
from lineage.tables.tiers import PAPER, describe_dropped, load_project_tiers

CHECKS = (
    text_rules.check_composes, text_rules.check_factor, text_rules.check_baseline, config_rules.check_one_factor,
    config_rules.check_cumulative, config_rules.check_factorial, config_rules.check_same_test,
    config_rules.check_test_images, config_rules.check_parts, text_rules.check_source,
    text_rules.check_effect_sizes, text_rules.check_numbers,
    text_rules.check_message, text_rules.check_titles, text_rules.check_costs, text_rules.check_metrics,
    text_rules.check_claims, text_rules.check_has_claim,
)  # fmt: skip


def compose_all(project: Path, tables: Iterable[Table], tier: str) -> None:
    """Compose the rows of many tables into the cache at once, which takes a third of the time of one by one."""
    rows = [(table, row) for table in tables for row in table.rows.values() if row.runs]
    requests = [RowRequest(table.name, row, table.tier if tier == PAPER else tier) for table, row in rows]
    compose_rows(project, requests, count_processes())


def lint_table(project: Path, table: Table) -> list[Finding]:
    """Compose the rows of a table and return its findings, the worst first."""
    return sorted(check(compose_subject(project, table)), key=lambda finding: SEVERITIES.index(finding.severity))


def check(subject: Subject) -> list[Finding]:
    """Return the findings of all rules, in their order."""
    return [finding for check_rule in CHECKS for finding in check_rule(subject)]


def compose_subject(project: Path, table: Table) -> Subject:
    """Compose the rows that are ours to run; the others are left out."""
    rows = [row for row in table.rows.values() if row.runs]
    composed = compose_rows(project, [RowRequest(table.name, row, table.tier) for row in rows])
    by_name = {row.name: composition for row, composition in zip(rows, composed, strict=True)}
    errors = {name: composition.error for name, composition in by_name.items() if composition.error is not None}
    valid = {name: composition for name, composition in by_name.items() if composition.error is None}
    configs, choices, written = (
        {name: getattr(composition, field) for name, composition in valid.items()}
        for field in ("config", "choices", "written")
    )
    return Subject(table, configs, choices, errors, written)


def lint_tier(project: Path, table: Table, load_table: Callable[[str], Table], tier: str) -> Iterator[Finding]:
    """Yield T15 to T17: at a tier rows may not compose, be one experiment, or lose keys that they set."""
    yield from _check_dropped(project, table, tier)
    names = [CellName(table.name, row.name, tier, 0) for row in table.rows.values() if row.runs]
    cells = build_cells(project, load_table, names)
    for name in names:
        if error := cells[name].composed.error:
            yield Finding("T15", error, name.row)
    digests = {name.row: cells[name].cell_digest for name in names}
    pairs = [(effect.better, effect.worse) for effect in table.effects]
    if table.is_own and table.baseline is not None:
        pairs += [(name, table.baseline) for name in table.rows if name != table.baseline]
    for first, second in dict.fromkeys(pairs):
        if digests.get(first) and digests.get(first) == digests.get(second):
            yield Finding("T16", f"{first} and {second} are one experiment at tier {tier}")


def _check_dropped(project: Path, table: Table, tier: str) -> Iterator[Finding]:
    """Yield T17: a warning if the row itself sets the key, a note if its base does."""
    rules = load_project_tiers(project).get(tier, {})
    rows = [row for row in table.rows.values() if row.runs]
    for row in rows:
        if text := describe_dropped(row, tier, rules, of_base=False):
            yield Finding("T17", text, row.name)
    for text in dict.fromkeys(describe_dropped(row, tier, rules, of_base=True) for row in rows):
        if text:
            yield Finding("T17", text, None, NOTE)
