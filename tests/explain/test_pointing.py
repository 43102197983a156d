"""Pointing game, energy and discrimination of maps of a few pixels."""

from __future__ import annotations

import numpy as np
import pytest

from lineage.explain.explained_image import fill_box
from lineage.explain.pointing import measure_discrimination, measure_energy, points_inside

LEFT = np.array([[True, False], [True, False]])


def test_the_largest_value_points() -> None:
    assert points_inside(np.array([[3.0, 2], [0, 0]]), LEFT)
    assert not points_inside(np.array([[3.0, 4], [0, 0]]), LEFT)
    assert not points_inside(np.zeros((2, 2)), LEFT)  # an empty map points nowhere


def test_energy_reads_positive_values() -> None:
    assert measure_energy(np.array([[1.0, 3], [-9, 0]]), LEFT) == pytest.approx(1 / 4)
    assert measure_energy(np.ones((2, 2)), LEFT) == pytest.approx(1 / 2)  # no information: the share of the area
    assert measure_energy(np.zeros((2, 2)), LEFT) == 0


def test_discrimination_is_the_share_of_other_objects() -> None:
    values = np.array([[6.0, 2, 5], [0, 0, 5]])
    own = np.array([[1, 0, 0], [1, 0, 0]], bool)
    other = np.array([[1, 1, 0], [1, 1, 0]], bool)  # overlaps the own one
    assert measure_discrimination(values, own, [other]) == pytest.approx(2 / 8)
    assert measure_discrimination(values, own, []) == 0


def test_a_box_holds_the_pixels_whose_centres_it_holds() -> None:
    assert fill_box((0.6, 0.0, 2.5, 1.0), (2, 4)).tolist() == [[False, True, False, False], [False] * 4]
