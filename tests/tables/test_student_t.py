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


def test_infinite_freedom_is_the_normal_distribution() -> None:
    assert student_t.t_isf(0.025, inf) == pytest.approx(stats.norm.isf(0.025), rel=1e-9)


def test_other_distributions_equal_scipy() -> None:
    for f, df1, df2 in ((0.3, 2, 8), (3.3, 2, 8), (45.0, 9, 3), (1.0, 1, 1)):
        assert student_t.f_sf(f, df1, df2) == pytest.approx(stats.f.sf(f, df1, df2), rel=1e-9)


def test_approximations_are_as_close_as_stated() -> None:
    for df in (4, 10, 50):
        for nc in (0.5, 2, 4, 7):
            for t in (2.0, 3.2, 5.0):
                assert student_t.nct_sf(t, df, nc) == pytest.approx(stats.nct.sf(t, df, nc), abs=0.02)
        for p in (0.1, 0.9):
            assert student_t.chi2_isf(p, df) == pytest.approx(stats.chi2.isf(p, df), rel=0.01)
