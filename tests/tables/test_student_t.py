from __future__ import annotations

from math import inf

import pytest
from scipy import stats

from lineage.tables.statistics import student_t

FREEDOMS = (1, 2, 3.7, 10, 200)


@pytest.mark.parametrize("freedom", FREEDOMS)
def test_t_equals_scipy(freedom: float) -> None:
    for t in (-3, -0.1, 0, 0.5, 2, 10, 60):
        assert student_t.beyond(t, freedom) == pytest.approx(stats.t.sf(t, freedom), rel=1e-9, abs=1e-14)
    for tail in (0.5, 0.25, 0.05, 0.025, 0.001, 1e-6):
        assert student_t.quantile(tail, freedom) == pytest.approx(stats.t.isf(tail, freedom), rel=1e-8, abs=1e-9)
    for shift in (-3, -0.5, 0, 0.01, 1, 5):
        ours = [student_t.beyond_shifted(t, freedom, shift) for t in (-2, 0, 0.5, 2, 4.3)]
        assert ours == pytest.approx([stats.nct.sf(t, freedom, shift) for t in (-2, 0, 0.5, 2, 4.3)], abs=1e-9)


def test_infinite_freedom_is_the_normal_law() -> None:
    assert student_t.quantile(0.025, inf) == pytest.approx(stats.norm.isf(0.025), rel=1e-9)
    assert student_t.beyond_shifted(1.0, inf, 2.5) == pytest.approx(stats.norm.sf(-1.5), rel=1e-9)


def test_needed_runs_have_the_power_that_was_asked_for() -> None:
    for effect, sd in ((1.0, 0.5), (0.3, 0.2), (0.1, 0.5)):
        n = student_t.needed(effect, sd)
        assert student_t.power(effect, sd, n) >= student_t.POWER > student_t.power(effect, sd, n - 1)
    assert student_t.needed(0.001, 1.0) == student_t.MOST
    assert student_t.needed(100.0, 1.0) <= 3
