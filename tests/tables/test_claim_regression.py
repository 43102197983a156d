"""Shown claims against made-up runs of today: what is lost, what has drifted, and how rarely by chance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

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


def test_margins_are_those_of_students_t() -> None:
    """Two runs of the better row and three of the other, against five of each before; two claims are tested."""
    before = make_before()
    today = run_again(26.0, 20.5)
    today["paper/table/new"].append(made.entry("new", 27.0, 1, tier="mini"))
    today["paper/table/old"] += [made.entry("old", value, seed, tier="mini") for seed, value in ((1, 20.0), (2, 21.0))]
    check, again = recheck([before, before], today)
    t = stats.t.isf(0.01 / 2, 8)
    assert check == again
    assert (check.before, check.today) == (10.0, 6.0)
    assert check.own_margin == pytest.approx(t * 0.8 * (1 / 2 + 1 / 3) ** 0.5)
    assert check.change_margin == pytest.approx(t * 0.8 * (1 / 2 + 1 / 3 + 1 / 5 + 1 / 5) ** 0.5)
    (drift,) = find_drift([before, before], today)  # each cell once: 2 tests
    assert (drift.cell, drift.today) == ("paper/table/new", 26.5)
    assert drift.margin == pytest.approx(stats.t.isf(0.01 / (2 * 2), 8) * 0.8 * (1 / 5 + 1 / 2) ** 0.5)


def test_a_claim_is_lost_exactly_beyond_both_margins() -> None:
    for kind in ("gain", "equal"):
        before = make_before(21.0, 20.0, kind) if kind == "equal" else make_before(24.0, 20.0)
        outcomes = set()
        for new in np.arange(14.0, 28.0, 0.1):
            (check,) = recheck([before], run_again(float(new), 20.0))
            today, own = new - 20.0, check.own_margin
            tolerance = max(0.5, 1.0)  # of the claim, or as the rows differed when it was shown
            lost = abs(today) - own > tolerance if kind == "equal" else today < min(own, 4.0 - check.change_margin)
            assert check.is_lost is bool(lost)
            outcomes.add(check.is_lost)
        assert outcomes == {True, False}


def test_less_is_better_where_the_table_says_so() -> None:
    gain = make_before(20.0, 30.0)
    table = replace(gain.claim.table, lower=frozenset(["mask/AP"]))
    before = replace(gain, claim=replace(gain.claim, table=table))
    for new, is_lost in ((20.0, False), (29.9, True), (35.0, True)):
        (check,) = recheck([before], run_again(new, 30.0))
        assert (check.before, check.today, check.is_lost) == (10.0, pytest.approx(30.0 - new), is_lost)


def test_runs_that_failed_or_did_not_measure_do_not_count() -> None:
    today = run_again(30.0, 20.0)
    today["paper/table/new"] += [made.entry("new", 1.0, 1, status="failed"), made.entry("new", None, 2)]
    (check,) = recheck([make_before()], today)
    assert check.today == 10.0
    assert find_drift([make_before()], {"paper/table/new": [made.entry("new", 1.0, status="stopped")]}) == []
