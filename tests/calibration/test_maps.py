"""Maps of scores against closed forms: what each must do exactly, on data whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from lineage.calibration.beta import fit_beta
from lineage.calibration.bin_wise_temperature import LAST_BIN, choose_edges, fit_bin_wise_temperature
from lineage.calibration.histogram import fit_histogram
from lineage.calibration.isotonic import fit_isotonic
from lineage.calibration.logit import Floats, logit, sigmoid
from lineage.calibration.platt import fit_platt
from lineage.calibration.score_map import METHODS, ScoredDetections, fit_grouped
from lineage.calibration.temperature import fit_temperature

GRID = np.linspace(0, 1, 1001)


def draw(slope: float, intercept: float, number: int = 40_000, seed: int = 0) -> tuple[Floats, Floats]:
    """Return scores, and targets whose chance is sigmoid(slope * logit + intercept)."""
    chance = np.random.default_rng(seed)
    scores = sigmoid(chance.normal(-1, 2, number))
    return scores, (chance.uniform(size=number) < sigmoid(slope * logit(scores) + intercept)).astype(np.float64)


def test_temperature_of_logits_that_are_twice_too_large() -> None:
    assert fit_temperature(*draw(0.5, 0)).temperature == pytest.approx(2, abs=0.05)


def test_temperature_of_one_score_is_its_closed_form() -> None:
    """The best map gives m for n equal scores p of which a share m is right: T = logit(p) / logit(m)."""
    scores, targets = np.full(10, 0.9), np.array([1.0] * 7 + [0.0] * 3)
    function = fit_temperature(scores, targets)
    assert function.temperature == pytest.approx(float(logit(scores)[0] / logit(np.array([0.7]))[0]), rel=1e-4)
    assert function(scores)[0] == pytest.approx(0.7, abs=1e-5)


def test_platt_recovers_slope_and_intercept() -> None:
    function = fit_platt(*draw(0.7, -1.5))
    assert (function.slope, function.intercept) == pytest.approx((0.7, -1.5), abs=0.06)


def test_platt_keeps_the_order_where_high_scores_are_wrong() -> None:
    scores, targets = draw(-1, 0)
    assert np.all(np.diff(fit_platt(scores, targets)(np.linspace(0.01, 0.99, 99))) > 0)


def test_beta_holds_platt_as_the_case_of_equal_coefficients() -> None:
    function = fit_beta(*draw(0.7, -1.5))
    assert (function.a, function.b, function.c) == pytest.approx((0.7, 0.7, -1.5), abs=0.15)


def test_beta_bounds_its_coefficients() -> None:
    """The targets fall with the score, so both coefficients would be negative."""
    function = fit_beta(*draw(-1, 0))
    assert min(function.a, function.b) > 0


def test_isotonic_pools_violators() -> None:
    scores, targets = np.array([0.1, 0.2, 0.3, 0.4, 0.5]), np.array([0.0, 1.0, 0.0, 0.0, 1.0])
    function = fit_isotonic(scores, targets)
    assert function.starts == (0.1, 0.2, 0.5)
    assert function.values == pytest.approx((0, 1 / 3, 1))
    assert function(np.array([0.0, 0.25, 0.45, 0.9])) == pytest.approx([0, 1 / 3, 1 / 3, 1], abs=2e-6)


def test_isotonic_keeps_the_order_of_ties() -> None:
    assert np.all(np.diff(fit_isotonic(*draw(0.7, -1.5))(GRID)) > 0)


def test_histogram_gives_the_mean_target_of_a_bin() -> None:
    scores, targets = np.array([0.1, 0.2, 0.6, 0.7]), np.array([0.0, 1.0, 1.0, 1.0])
    assert fit_histogram(scores, targets, num_bins=2)(np.array([0.15, 0.8])) == pytest.approx([0.5, 1], abs=2e-6)


def test_bts_of_one_bin_is_temperature_scaling() -> None:
    scores, targets = draw(0.5, -0.3)
    function, temperature = fit_bin_wise_temperature(scores, targets, num_bins=1), fit_temperature(scores, targets)
    assert function.temperatures == (temperature.temperature,)
    assert np.array_equal(function(GRID), temperature(GRID))


def test_bts_has_a_temperature_for_each_bin_and_a_last_bin() -> None:
    """Logits are doubled below 0 alone: low bins have temperature 2, high ones 1."""
    chance = np.random.default_rng(1)
    true = chance.normal(0, 2, 60_000)
    targets = (chance.uniform(size=len(true)) < sigmoid(true)).astype(np.float64)
    function = fit_bin_wise_temperature(sigmoid(np.where(true < 0, 2 * true, true)), targets, num_bins=5)
    assert function.edges[-1] == LAST_BIN
    assert function.temperatures[0] == pytest.approx(2, abs=0.15)
    assert function.temperatures[3] == pytest.approx(1, abs=0.15)


def test_bts_leaves_scores_outside_those_of_the_fit_to_the_outer_bins() -> None:
    scores, targets = draw(0.5, 0)
    inside = scores[(scores > 0.2) & (scores < 0.8)]
    function = fit_bin_wise_temperature(inside, targets[: len(inside)], num_bins=4)
    assert function(np.array([0.01])) == pytest.approx(sigmoid(logit(np.array([0.01])) / function.temperatures[0]))


def test_edges_of_bts_are_quantiles_below_the_last_bin() -> None:
    scores = np.concatenate([np.linspace(0.1, 0.9, 9), np.full(50, 0.9995)])
    assert choose_edges(scores, 5) == pytest.approx([0.3, 0.5, 0.7, LAST_BIN])


def test_few_samples_take_the_map_of_all() -> None:
    scores, targets = draw(0.5, 0, number=1000)
    function = fit_bin_wise_temperature(scores, targets, num_bins=100)
    assert fit_temperature(scores, targets).temperature in function.temperatures


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("targets", [0.0, 1.0])
def test_targets_that_are_all_equal_give_finite_scores(method: str, targets: float) -> None:
    scores = np.random.default_rng(0).uniform(size=200)
    calibrated = METHODS[method].fit(scores, np.full(200, targets))(np.array([0.0, 0.5, 1.0]))
    assert np.all((calibrated >= 0) & (calibrated <= 1))


@pytest.mark.parametrize("method", ["temperature", "platt", "beta"])
def test_calibrated_scores_stay_where_they_are(method: str) -> None:
    function = METHODS[method].fit(*draw(1, 0))
    assert function(GRID) == pytest.approx(GRID, abs=0.02)


def test_each_class_has_its_map_and_rare_ones_share_one() -> None:
    many, few = draw(0.5, 0, 5000), draw(1, -3, 30, seed=1)
    scores, targets = np.concatenate([many[0], few[0]]), np.concatenate([many[1], few[1]])
    categories = np.array([7] * 5000 + [*range(100, 130)])  # 30 classes of one detection
    detections = ScoredDetections(scores, categories, np.ones(5030))
    grouped = fit_grouped(fit_platt, detections, targets, ("class",))
    assert set(grouped.functions) == {"7"}
    assert grouped.functions["7"] == fit_platt(*many)
    assert grouped.rest == fit_platt(*few)
    unseen = ScoredDetections(np.array([0.5]), np.array([999]), np.ones(1))
    assert grouped(unseen) == grouped.rest(np.array([0.5]))


def test_each_size_has_its_map() -> None:
    small, large = draw(1, -2, 3000), draw(1, 2, 3000, seed=1)
    areas = np.concatenate([np.linspace(1, 100, 3000), np.linspace(1000, 2000, 3000)])
    detections = ScoredDetections(np.concatenate([small[0], large[0]]), np.ones(6000, np.int64), areas)
    grouped = fit_grouped(fit_platt, detections, np.concatenate([small[1], large[1]]), ("size",))
    half = ScoredDetections(np.array([0.5, 0.5]), np.ones(2, np.int64), np.array([5.0, 1900.0]))
    assert grouped(half) == pytest.approx(sigmoid(np.array([-2.0, 2.0])), abs=0.05)
