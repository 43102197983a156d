from __future__ import annotations

import random
import statistics

import pytest

from lineage.tables.statistics import seed_noise


def test_spread_equals_that_of_the_standard_library() -> None:
    chance = random.Random(0)
    for n in (2, 3, 10, 100):
        values = [chance.gauss(30, 0.3) for _ in range(n)]
        assert seed_noise.mean(values) == pytest.approx(statistics.fmean(values), rel=1e-15)
        assert seed_noise.sd(values) == pytest.approx(statistics.stdev(values), rel=1e-12)


def test_equal_values_have_exactly_no_spread() -> None:
    assert all(seed_noise.sd([value] * n) == 0 for value in (0.1, 1 / 3, 26.9, 1e-9) for n in range(2, 50))


def test_a_dataset_is_known_by_its_family() -> None:
    assert seed_noise.find_published("voc07") is seed_noise.find_published("VOC0712") is seed_noise.PUBLISHED["voc"]
    assert seed_noise.find_published("coco_person") is seed_noise.PUBLISHED["coco"]
    assert seed_noise.find_published("cityscapes") is None
