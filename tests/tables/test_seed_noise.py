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


def test_noise_is_known_where_it_was_measured() -> None:
    """By metric, family of the dataset and family of the models."""
    voc = seed_noise.find_published("voc07", "voc/mAP07", ["faster_rcnn_vgg"])
    assert voc is seed_noise.find_published("VOC0712", "voc/mAP07", ["faster_rcnn", "rpn"])
    assert voc is not None
    box, mask = (seed_noise.find_published("coco_person", f"{task}/AP", ["mask_rcnn"]) for task in ("box", "mask"))
    assert box is not None
    assert mask is not None
    rows = ([0.1, 0.1, 0.2, 0.1, 0.1, 0.1, 0.3], [0.1, 0.2, 0.2, 0.1, 0.1, 0.2, 0.3])  # of Table 3a, 5 runs each
    pooled = [statistics.fmean(sd * sd for sd in of_task) ** 0.5 for of_task in rows]
    assert [box.sd, mask.sd] == pytest.approx(pooled, abs=0.001)
    for metric in ("box/AP50", "box/APs", "box/AR1000", "panoptic/PQ", "keypoint/AP"):
        assert seed_noise.find_published("coco", metric, ["mask_rcnn"]) is None
    assert seed_noise.find_published("coco", "box/AP", ["mask_rcnn", "retinanet"]) is None
    assert seed_noise.find_published("cityscapes", "box/AP", ["mask_rcnn"]) is None


def test_the_published_noises_are_these() -> None:
    listed = [(noise.sd, noise.df, noise.dataset, noise.metrics, noise.family) for noise in seed_noise.PUBLISHED]
    assert listed == [
        (0.16, 28, "coco", ("box/AP",), "two-stage"),
        (0.185, 28, "coco", ("mask/AP",), "two-stage"),
        (0.4, 7, "voc", ("voc/mAP07", "voc/mAP"), "two-stage"),
        (0.3, 4, "lvis", ("box/AP", "mask/AP"), "two-stage"),
    ]
    names = ("", "rpn", "rpn_r50", "mask_rcnn", "retinanet", "crpn", "centernet")
    assert [seed_noise.find_family(name) for name in names] == [*["two-stage"] * 4, "retinanet", "crpn", "centernet"]


def test_a_shorter_sample_is_of_the_same_experiment() -> None:
    sample = seed_noise.SeedSample((1.0, 2.0, 4.0), (3, 5, 9), "cell", "training", "model")
    assert sample.first(2) == seed_noise.SeedSample((1.0, 2.0), (3, 5), "cell", "training", "model")
    assert sample.first(3) is sample.first(4) is sample
    assert (sample.first(1).sd, sample.first(2).sd, sample.by_seed) == (None, 0.5**0.5, {3: 1.0, 5: 2.0, 9: 4.0})
    assert sample.repeats(sample.first(1))
    assert not seed_noise.SeedSample((1.0,)).repeats(seed_noise.SeedSample((1.0,)))
