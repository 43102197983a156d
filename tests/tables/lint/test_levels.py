"""How severe a finding is: the level decides whether `lineage lint` fails."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lineage.launch import lint
from lineage.tables.lint.rules import ERROR, NOTE, RULES, WARNING, Subject
from lineage.tables.table import Effect, Table
from tests.tables.lint.test_rules import CONFIG, config, rows, table


def levels(subject: Table, configs: dict[str, dict[str, Any]], rule: str) -> list[tuple[str | None, str]]:
    findings = lint.check(Subject(subject, configs, {name: {} for name in configs}))
    return [(finding.row, finding.severity) for finding in findings if finding.rule == rule]


@pytest.mark.parametrize(
    ("changes", "level"),
    [
        ({}, ERROR),
        ({"kind": "headline", "factor": {}}, ERROR),
        ({"kind": "zoo", "factor": {}, "effects": []}, WARNING),
        ({"kind": "zoo", "factor": {}, "effects": [], "mixed": "the source prints it so"}, NOTE),
        ({"mixed": "the source prints it so", "effects": []}, NOTE),
    ],
)
def test_rows_tested_on_other_data(changes: dict[str, Any], level: str) -> None:
    other = CONFIG["dataset"] | {"val": {"seed": 3}}
    apart = {"old": config(), "new": config(roi="m.Align", dataset=other)}
    assert levels(table(**changes), apart, "T5") == [("new", level)]


def test_a_claim_between_rows_tested_differently_is_an_error_whatever_is_declared() -> None:
    other = CONFIG["dataset"] | {"val": {"seed": 3}}
    apart = {"old": config(), "new": config(roi="m.Align", dataset=other)}
    mixed = table(kind="zoo", factor={}, mixed="the source prints it so")
    assert levels(mixed, apart, "T5") == [("new", NOTE), (None, ERROR)]
    assert levels(mixed, {"old": config(), "new": config(roi="m.Align")}, "T5") == [(None, WARNING)]


def test_other_budgets_of_a_headline_are_a_note() -> None:
    longer = {"schedule": {"steps": 200, "images_per_step": 16}}
    configs = {"old": config(), "new": config(roi="m.Align", **longer)}
    assert levels(table(kind="headline", factor={}), configs, "T5") == [("new", NOTE)]
    assert levels(table(kind="headline"), {"old": config(), "new": config(roi="m.Align")}, "T5") == []


def test_a_cost_is_measured_by_any_evaluator() -> None:
    """T14 is about metrics of the evaluator; the costs of a row come from the run itself."""
    with_cost = {"published": {"mask/AP": 30.0, "cost/image_ms": 51.0, "cost/gflops": 3.0}}
    costly = replace(table(), rows=rows(old=with_cost, new=with_cost))
    configs = {"old": config(), "new": config(roi="m.Align")}
    assert levels(costly, configs, "T14") == []
    wrong = replace(table(), rows=rows(old=with_cost, new=with_cost | {"published": {"lvis/AP": 1.0}}))
    assert levels(wrong, configs, "T14") == [("new", ERROR)]


@pytest.mark.parametrize(
    ("changes", "rule", "level"),
    [
        ({"confidence": "unstated"}, "T7", ERROR),
        ({"effects": []}, "C2", ERROR),
        ({"effects": [], "kind": "headline", "factor": {}}, "C2", NOTE),
        ({"effects": [Effect("order", "new", "old", "box/AP", None, 0.5)]}, "C1", NOTE),
        ({"effects": [Effect("order", "old", "new", "mask/AP", None, 0.5)]}, "C1", ERROR),
    ],
)
def test_levels_of_what_a_file_says(changes: dict[str, Any], rule: str, level: str) -> None:
    configs = {"old": config(), "new": config(roi="m.Align")}
    assert [severity for _, severity in levels(table(**changes), configs, rule)] == [level]


def test_a_finding_without_a_level_has_that_of_its_rule() -> None:
    assert {name for name, rule in RULES.items() if rule.level != ERROR} == {"T8", "T9", "T12", "T13", "T16", "T17"}
    assert RULES["T12"].level == NOTE
