from __future__ import annotations

from math import inf, sqrt

import numpy as np
import pytest
from scipy import stats

from lineage.tables.statistics.seed_noise import SeedSample
from lineage.tables.statistics.significance import (
    BY_PUBLISHED,
    PAIRED,
    UNPAIRED,
    adjust_holm,
    compare,
    compare_to_number,
)

A, B = (27.1, 27.9, 26.8, 27.4), (26.9, 27.2, 26.9, 26.8)


def sample(values: tuple[float, ...], first: int = 0) -> SeedSample:
    return SeedSample(values, tuple(range(first, first + len(values))))


def test_equal_seeds_are_compared_in_pairs() -> None:
    comparison = compare(sample(A), sample(B), "")
    assert comparison is not None
    assert comparison.test == PAIRED
    assert comparison.p_different() == pytest.approx(stats.ttest_rel(A, B).pvalue, rel=1e-9)
    assert comparison.margin() == pytest.approx(
        np.diff(stats.ttest_rel(A, B).confidence_interval(0.95))[0] / 2, rel=1e-9
    )


def test_other_seeds_are_compared_as_welch_did() -> None:
    comparison = compare(sample(A), sample(B[:3], first=10), "")
    assert comparison is not None
    assert comparison.test == UNPAIRED
    assert comparison.p_different() == pytest.approx(stats.ttest_ind(A, B[:3], equal_var=False).pvalue, rel=1e-9)


def test_few_runs_have_the_published_noise_or_none() -> None:
    comparison = compare(sample((30.0,)), sample((29.0,)), "coco")
    assert comparison is not None
    assert (comparison.test, comparison.standard_error, comparison.df) == (
        BY_PUBLISHED,
        pytest.approx(0.15 * sqrt(2)),
        inf,
    )
    assert "Table 3a" in comparison.source
    assert compare(sample((30.0,)), sample((29.0,)), "cityscapes") is None


def test_the_noise_of_a_published_number() -> None:
    ours = sample((30.1, 30.3, 29.9))
    stated, known = compare_to_number(ours, 30.0, 0.39, 5, "voc"), compare_to_number(ours, 30.0, None, 1, "coco")
    alike = compare_to_number(ours, 30.0, None, 1, "")
    assert None not in (stated, known, alike)
    assert stated.standard_error == pytest.approx(sqrt(0.04 / 3 + 0.39**2 / 5))
    assert known.standard_error == pytest.approx(0.2 * sqrt(4 / 3))  # ours is the larger of the two
    assert (alike.standard_error, alike.df) == (pytest.approx(0.2 * sqrt(4 / 3)), 2)


def test_repetitions_without_any_noise() -> None:
    ones, twos = sample((1.0,) * 3), sample((2.0,) * 3)
    same, other = compare(ones, ones, ""), compare(twos, ones, "")
    assert same is not None
    assert other is not None
    assert (same.p_different(), same.p_equivalent(0, 0.5), other.p_different(), other.p_equivalent(0, 0.5)) == (
        1.0,
        0.0,
        0.0,
        1.0,
    )


def test_equivalence_is_two_one_sided_tests() -> None:
    comparison = compare(sample(A), sample(B), "")
    assert comparison is not None
    differences = np.subtract(A, B)
    sides = ((-1, "greater"), (1, "less"))
    tests = [stats.ttest_1samp(differences, edge, alternative=side).pvalue for edge, side in sides]
    assert comparison.p_equivalent(0.0, 1.0) == pytest.approx(max(tests), rel=1e-9)


def test_holm() -> None:
    assert adjust_holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert adjust_holm([0.5, 0.9]) == [1.0, 1.0]
    assert adjust_holm([]) == []
