"""The truth table of verdicts by simulation: how often a verdict is wrong, and how often an effect is found."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

from lineage.results.entry import Entry
from lineage.tables import verdicts
from lineage.tables.statistics.student_t import POWER, compute_required_pairs, power
from lineage.tables.table import Effect, Row, Table
from lineage.tables.verdicts import CONTRADICTED, REPRODUCED, UNDERPOWERED
from tests.tables import made

TABLES, SD = 10_000, 0.3
ROWS = ("a", "b", "c", "d")
TEMPLATE = {row: [made.entry(row, 0.0, seed, tier="mini") for seed in range(12)] for row in ROWS}


def table(*effects: Effect) -> Table:
    return replace(made.table(), rows={row: Row(row, row, {}, {}, {}) for row in ROWS}, effects=list(effects))


def order(better: str, worse: str) -> Effect:
    return Effect("order", better, worse, "mask/AP", None, 0.5)


def simulated(truth: dict[str, float], seeds: int, tables: int = TABLES) -> Iterator[list[Entry]]:
    """What a seed does to all rows alike cancels; the rest of its noise does not."""
    chance = random.Random(0)
    for _ in range(tables):
        shared = [chance.gauss(0, 1.0) for _ in range(seeds)]
        for row, mean in truth.items():
            for seed in range(seeds):
                TEMPLATE[row][seed].metrics["mask/AP"] = mean + shared[seed] + chance.gauss(0, SD)
        yield [entry for row in truth for entry in TEMPLATE[row][:seeds]]


def words(one: Table, entries: list[Entry]) -> list[str]:
    return [verdict.word for (verdict,) in verdicts.judge_effects(one, entries)]


def test_of_tables_without_an_effect_five_in_a_hundred_have_a_false_verdict_at_most() -> None:
    """Three claims that are all false: for the table as a whole, not for each."""
    one = table(order("a", "b"), order("a", "c"), order("a", "d"))
    wrong = [set(words(one, entries)) != {UNDERPOWERED} for entries in simulated(dict.fromkeys(ROWS, 27.0), 3)]
    assert 0.025 <= sum(wrong) / TABLES <= 0.054  # Holm's bound is not reached, for the claims share a row


def test_one_claim_is_wrong_as_often_as_stated() -> None:
    entries = simulated({"a": 27.0, "b": 27.0}, 3)
    wrong = [words(table(order("a", "b")), held) != [UNDERPOWERED] for held in entries]
    assert 0.045 <= sum(wrong) / TABLES <= 0.055


def test_an_effect_is_found_as_often_as_stated() -> None:
    sd = SD * 2**0.5
    seeds = compute_required_pairs(0.8, sd)
    stated = power(0.8, sd, seeds)
    found = [words(table(order("a", "b")), held) for held in simulated({"a": 27.8, "b": 27.0}, seeds)]
    assert stated >= POWER
    assert abs(found.count([REPRODUCED]) / TABLES - stated) < 0.015
    assert found.count([CONTRADICTED]) < TABLES / 1000


def test_rows_at_the_edge_of_the_tolerance_are_called_equal_as_rarely_as_stated() -> None:
    one = table(Effect("equal", "a", "b", "mask/AP", None, 0.5))
    found = [words(one, held) for held in simulated({"a": 27.5, "b": 27.0}, 5)]
    assert found.count([REPRODUCED]) / TABLES <= 0.055
    same = [words(one, held) for held in simulated({"a": 27.0, "b": 27.0}, 8)]
    assert same.count([REPRODUCED]) / TABLES > 0.8


def test_claims_of_several_kinds_are_wrong_together_as_rarely_as_stated() -> None:
    """Rows without a difference, and rows at the edge of the tolerance: every verdict but underpowered is wrong."""
    edge = Effect("equal", "c", "d", "mask/AP", None, 0.5)
    one = table(order("a", "b"), edge, order("b", "a"))
    truth = {"a": 27.0, "b": 27.0, "c": 27.5, "d": 27.0}
    wrong = [set(words(one, held)) != {UNDERPOWERED} for held in simulated(truth, 5)]
    assert sum(wrong) / TABLES <= 0.054


def test_rows_of_other_seeds_are_called_different_as_rarely_as_stated() -> None:
    """No pairs are left: Welch's test."""
    one, chance, wrong = table(order("a", "b")), random.Random(0), 0
    held = [made.entry(row, 0.0, seed + 100 * (row == "b"), tier="mini") for row in "ab" for seed in range(4)]
    for _ in range(TABLES):
        for entry in held:
            entry.metrics["mask/AP"] = 27.0 + chance.gauss(0, SD)
        wrong += words(one, held) != [UNDERPOWERED]
    assert 0.03 <= wrong / TABLES <= 0.054


def test_a_right_number_is_contradicted_as_rarely_as_stated() -> None:
    """Ours is truly as far from the paper's as the tolerance allows, and the paper's single run has noise too."""
    chance, one, wrong = random.Random(0), made.table(), 0
    held = [made.entry("new", 30.0, seed) for seed in range(4)]
    for _ in range(TABLES):
        theirs = chance.gauss(0, SD)
        for entry in held:
            entry.metrics["mask/AP"] = 30.5 - theirs + chance.gauss(0, SD)
        wrong += verdicts.judge_claims(one, held)[1].word == CONTRADICTED
    assert wrong / TABLES <= 0.05


def test_so_many_more_seeds_do_tell() -> None:
    """Of an underpowered claim whose effect is as large as it looks."""
    for row, values in (("a", (27.9, 27.2, 27.4)), ("b", (27.0, 27.1, 26.6))):
        for seed, value in enumerate(values):
            TEMPLATE[row][seed].metrics["mask/AP"] = value
    held = [entry for row in ("a", "b") for entry in TEMPLATE[row][:3]]
    ((verdict,),) = verdicts.judge_effects(table(order("a", "b")), held)
    assert verdict.word == UNDERPOWERED
    assert verdict.additional_runs is not None
    assert verdict.reason == f"{verdict.additional_runs} more seeds would tell"
    assert verdict.difference is not None
    assert 1 <= verdict.additional_runs <= 5
