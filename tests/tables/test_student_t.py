from __future__ import annotations

from math import inf

import pytest
from scipy import stats

from lineage.tables.statistics import student_t

DEGREES = (1, 2, 3.7, 10, 200)


@pytest.mark.parametrize("df", DEGREES)
def test_t_equals_scipy(df: float) -> None:
    for t in (-3, -0.1, 0, 0.5, 2, 10, 60):
        assert student_t.t_sf(t, df) == pytest.approx(stats.t.sf(t, df), rel=1e-9, abs=1e-14)
    for tail in (0.5, 0.25, 0.05, 0.025, 0.001, 1e-6):
        assert student_t.t_isf(tail, df) == pytest.approx(stats.t.isf(tail, df), rel=1e-8, abs=1e-9)
    for nc in (-3, -0.5, 0, 0.01, 1, 5):
        ours = [student_t.nct_sf(t, df, nc) for t in (-2, 0, 0.5, 2, 4.3)]
        assert ours == pytest.approx([stats.nct.sf(t, df, nc) for t in (-2, 0, 0.5, 2, 4.3)], abs=1e-9)


def test_infinite_freedom_is_the_normal_distribution() -> None:
    assert student_t.t_isf(0.025, inf) == pytest.approx(stats.norm.isf(0.025), rel=1e-9)
    assert student_t.nct_sf(1.0, inf, 2.5) == pytest.approx(stats.norm.sf(-1.5), rel=1e-9)


def test_the_required_pairs_have_the_power() -> None:
    for effect, sd in ((1.0, 0.5), (0.3, 0.2), (0.1, 0.5)):
        n = student_t.compute_required_pairs(effect, sd)
        assert student_t.power(effect, sd, n) >= student_t.POWER > student_t.power(effect, sd, n - 1)
    assert student_t.compute_required_pairs(0.001, 1.0) == student_t.MAX_PAIRS
    assert student_t.compute_required_pairs(100.0, 1.0) <= 3
