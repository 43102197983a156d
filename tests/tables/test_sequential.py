"""Tests that are read after every seed."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from scipy import stats

from lineage.tables.statistics import sequential
from lineage.tables.statistics.sequential import EVERY, compute_share, list_looks, spend


def test_the_level_is_spent_as_stated() -> None:
    """A Brownian motion crosses the boundaries up to n as often as may be spent up to n."""
    looks = np.arange(1, 11)
    chance = np.random.default_rng(0)
    z = chance.standard_normal((200_000, len(looks))).cumsum(1) / np.sqrt(looks)
    for level in (0.025, 0.1):
        bounds = stats.norm.isf([level * compute_share(int(n), level) for n in looks])
        crossed = np.logical_or.accumulate(z > bounds, axis=1).mean(0)
        assert crossed == pytest.approx([level * spend(int(n)) for n in looks], abs=0.0015)


def test_one_reading_at_the_planned_number_spends_most() -> None:
    assert spend(3) == pytest.approx(0.8)
    assert spend(10) < spend(100) < 1
    assert compute_share(3, 0.025) > 0.5
    assert compute_share(5, 0.025, planned=5) > 0.5
    assert compute_share(1, 0.025) == pytest.approx(spend(1), rel=1e-6)


def test_a_smaller_level_leaves_a_reading_a_smaller_part() -> None:
    """So the smallest level of Holm's procedure is the safe one for all."""
    for n in (2, 3, 5, 9):
        shares = [compute_share(n, level) for level in (0.025, 0.005, 0.0005)]
        assert shares == sorted(shares, reverse=True)


def test_readings_become_rare() -> None:
    assert list_looks(5) == [1, 2, 3, 4, 5]
    assert list_looks(29)[-1] == EVERY
    assert list_looks(100)[-4:] == [30, 45, 67, 100]
    assert compute_share(list_looks(5000)[-1], 0.025) > 0


@pytest.mark.parametrize("planned", [3, 5])
def test_boundaries_equal_the_normal_distribution_of_the_readings(planned: int) -> None:
    """The readings n = 1, 2, 3 of a Brownian motion are normal with the correlation sqrt(n / m) of n and m."""
    for level in (0.025, 0.2):
        spent = [level * 0.8 * (n / planned) ** 2 for n in (1, 2, 3)]
        bounds = stats.norm.isf([level * compute_share(n, level, planned) for n in (1, 2, 3)])
        correlation = [[sqrt(min(n, m) / max(n, m)) for m in (1, 2, 3)] for n in (1, 2, 3)]
        for n in (1, 2, 3):
            matrix = np.array(correlation)[:n, :n]
            inside = stats.multivariate_normal(cov=matrix, seed=0, abseps=1e-8, maxpts=200_000).cdf(bounds[:n])
            assert 1 - inside == pytest.approx(spent[n - 1], rel=2e-4)


def test_the_level_that_is_spent_and_the_readings_are_those_of_the_text() -> None:
    assert [spend(n) for n in (1, 2, 3, 4, 6, 60)] == pytest.approx([0.8 / 9, 3.2 / 9, 0.8, 0.85, 0.9, 0.99])
    assert [spend(n, 5) for n in (1, 5, 6, 10)] == pytest.approx([0.032, 0.8, 1 - 1 / 6, 0.9])
    assert list_looks(0) == []
    for n in range(1, 110):
        assert list_looks(n) == [look for look in (*range(1, 21), 30, 45, 67, 100) if look <= n]
    tails = [sequential._tail(z) for z in (-6.0, -1.0, 0.0, 2.5)]
    assert tails == pytest.approx(stats.norm.sf([-6.0, -1.0, 0.0, 2.5]), rel=1e-12)
