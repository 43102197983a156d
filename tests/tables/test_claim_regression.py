"""Shown claims against made-up runs of today: what is lost, what has drifted, and how rarely by chance."""

from __future__ import annotations

import numpy as np
import pytest

from lineage.results.entry import Entry
from lineage.tables.claim_regression import Before, find_drift, recheck
from lineage.tables.paper.status import find_status
from lineage.tables.samples import Setting
from lineage.tables.statistics.pooled_noise import NoiseEstimate
from lineage.tables.statistics.seed_noise import SeedSample
from lineage.tables.verdicts import Verdict
from tests.tables import made

MINI = Setting("mini", (), "e")


def make_before(better: float = 30.0, worse: float = 20.0, kind: str = "gain") -> Before:
    table = made.table(kind)
    word = "no difference seen at mini" if kind == "equal" else "same sign at mini"
    claim = find_status(table, table.effects[0], [Verdict(word, MINI, difference=better - worse, margin=1.0)])
    seeds = tuple(range(5))
    samples = [SeedSample((value - 1, value - 0.5, value, value + 0.5, value + 1), seeds) for value in (better, worse)]
    return Before(claim, *samples, NoiseEstimate(0.8, 8, "these rows"))


def run_again(new: float | None, old: float | None) -> dict[str, list[Entry]]:
    cells = {"new": new, "old": old}
    return {f"paper/table/{row}": [made.entry(row, value, tier="mini")] for row, value in cells.items() if value}


@pytest.mark.parametrize(
    ("new", "old", "is_lost"),
    [
        (30.0, 20.0, False),
        (26.0, 21.0, False),  # less than before, and beyond the noise still a gain
        (21.0, 20.0, True),  # nothing is left of it
        (15.0, 20.0, True),
        (45.0, 20.0, False),  # more than before
    ],
)
def test_a_gain_is_lost_if_it_has_shrunk_and_is_no_gain_any_more(new: float, old: float, is_lost: bool) -> None:
    (check,) = recheck([make_before()], run_again(new, old))
    assert check.is_lost is is_lost
    assert (check.before, check.today) == pytest.approx((10.0, new - old))


def test_a_gain_that_is_within_the_noise_of_itself_is_not_lost() -> None:
    (check,) = recheck([make_before(21.0, 20.0)], run_again(20.0, 20.3))
    assert not check.is_lost  # one run of each row cannot show that a gain of 1 with noise .8 is gone


@pytest.mark.parametrize(("new", "is_lost"), [(20.5, False), (23.0, False), (30.0, True)])
def test_an_equality_is_lost_beyond_its_tolerance_and_the_noise(new: float, is_lost: bool) -> None:
    (check,) = recheck([make_before(20.2, 20.0, "equal")], run_again(new, 20.0))
    assert check.is_lost is is_lost


def test_a_cell_outside_its_noise_has_drifted_even_if_the_claim_holds() -> None:
    (drift,) = find_drift([make_before()], run_again(40.0, 20.2))
    assert (drift.cell, drift.metric, drift.before, drift.today) == ("paper/table/new", "mask/AP", 30.0, 40.0)
    assert find_drift([make_before()], run_again(30.8, 19.1)) == []


def test_a_claim_of_which_a_row_did_not_run_is_left_out() -> None:
    assert recheck([make_before()], run_again(30.0, None)) == []
    assert recheck([make_before()], {}) == []


def test_nothing_is_lost_by_chance_in_more_than_one_of_a_hundred() -> None:
    """Twenty claims, 500 days without a change: a day has a false alarm in 1 % of cases, and a drift as rarely."""
    noise, rng, alarms, drifts = 0.8, np.random.default_rng(7), 0, 0
    for _ in range(500):
        before, today = [], {}
        for i in range(20):
            one = make_before()
            values = 25 + noise * rng.standard_normal((2, 5))
            seeds = tuple(range(5))
            samples = [SeedSample(tuple(map(float, row)), seeds) for row in values]
            chi = float(np.sqrt(rng.chisquare(8) / 8))
            before.append(Before(one.claim, *samples, NoiseEstimate(noise * chi, 8, "x")))
            today |= run_again(*(25 + noise * rng.standard_normal(2))) if i == 0 else {}
        alarms += any(check.is_lost for check in recheck(before[:1], today))
        drifts += bool(find_drift(before[:1], today))
    assert alarms <= 15
    assert drifts <= 15
