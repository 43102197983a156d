from __future__ import annotations

from math import inf

import pytest
from scipy import special, stats

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


def test_values_at_and_beyond_the_edges_equal_scipy() -> None:
    for x in (-9.0, -3.0, -0.5, 0.0, 0.5, 3.0, 9.0):
        assert student_t.norm_cdf(x) == pytest.approx(stats.norm.cdf(x), rel=1e-12)
        assert student_t.t_sf(x, inf) == pytest.approx(stats.norm.sf(x), rel=1e-12)
    for a in (0.5, 1.0, 2.5, 40.0):
        for b in (0.5, 1.0, 2.5, 40.0):
            for x in (-0.1, 0.0, 0.01, 0.3, (a + 1) / (a + b + 2), 0.7, 0.99, 1.0, 1.1):
                expected = special.betainc(a, b, min(1.0, max(0.0, x)))
                assert student_t.incomplete_beta(a, b, x) == pytest.approx(expected, rel=1e-9, abs=1e-14)
    assert [student_t.t_sf(t, 5) for t in (inf, -inf)] == [0.0, 1.0]


@pytest.mark.parametrize("df", [4, 7, 30])
def test_approximations_are_those_of_the_books(df: int) -> None:
    """Abramowitz and Stegun, 26.7.10; Wilson and Hilferty, PNAS 17, which no negative chi-square follows from."""
    for nc, t in ((0.5, 2.0), (2.0, 3.2), (7.0, 5.0)):
        expected = stats.norm.cdf((nc - t * (1 - 1 / (4 * df))) / (1 + t * t / (2 * df)) ** 0.5)
        assert student_t.nct_sf(t, df, nc) == pytest.approx(expected, rel=1e-9)
    for p in (0.05, 0.1, 0.4, 0.5, 0.6, 0.9, 0.95):
        expected = df * (1 - 2 / (9 * df) + stats.norm.isf(p) * (2 / (9 * df)) ** 0.5) ** 3
        assert student_t.chi2_isf(p, df) == pytest.approx(expected, rel=1e-8)
    assert student_t.chi2_isf(0.999, 0.2) == 0.0
