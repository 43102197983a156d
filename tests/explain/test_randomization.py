"""Rank correlation and randomised layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lineage.explain.dependence import correlate_in_box
from lineage.explain.randomization import cascade, find_layers, randomize_layers, rank_correlation
from tests.explain.test_detectors import network


def test_rank_correlation_of_a_monotone_map_is_one() -> None:
    values = torch.tensor([[1.0, 5.0], [2.0, 9.0]])
    assert rank_correlation(values, values.exp()) == pytest.approx(1)
    assert rank_correlation(values, -values) == pytest.approx(-1)
    assert rank_correlation(values, torch.ones(2, 2)) == 0


def test_ties_share_their_rank() -> None:
    """scipy.stats.spearmanr([1, 2, 2, 3], [1, 3, 2, 4]) = 0.9486832980505138"""
    a, b = torch.tensor([1.0, 2, 2, 3]), torch.tensor([1.0, 3, 2, 4])
    assert rank_correlation(a, b) == pytest.approx(0.9486832980505138)


def test_the_last_layers_are_randomised_in_a_copy() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Linear(4, 5))
    before = model[2].weight.clone()
    copy = randomize_layers(model, names=["2"], seed=0)
    assert torch.equal(copy[0].weight, model[0].weight)
    assert not torch.equal(copy[2].weight, before)
    assert torch.equal(model[2].weight, before)
    assert float(copy[2].weight.detach().std()) == pytest.approx(float(before.detach().std()), rel=0.5)


def test_the_step_above_stays_random_in_the_next() -> None:
    """arXiv:1810.03292 randomises successively: what was random stays so, with the same weights."""
    model = network("mask_rcnn")
    steps = cascade(model)
    assert list(steps) == ["head", "neck", "upper_body", "model"]
    layers = find_layers(model)
    assert all(name.startswith("box.") for name in steps["head"])
    assert {name.partition(".")[0] for name in steps["neck"]} == {"box", "neck"}
    body = [name for name in layers if name.startswith("backbone.")]
    assert steps["upper_body"] == [*steps["neck"], *body[len(body) // 2 :]]
    assert steps["model"] == list(layers)
    head, whole = (find_layers(randomize_layers(model, seed=3, names=steps[step])) for step in ("head", "model"))
    for name, layer in layers.items():
        assert torch.equal(head[name].weight, (whole if name in steps["head"] else layers)[name].weight)
        assert not torch.equal(whole[name].weight, layer.weight)


def test_a_correlation_leaves_out_what_all_maps_of_a_region_share() -> None:
    """Two maps of opposite order in a region, 0 around it, are alike over the image, and opposite in the region."""
    values = torch.arange(16.0).view(4, 4) + 1
    first, second = torch.zeros(2, 12, 12)
    first[2:6, 3:7], second[2:6, 3:7] = values, values.flip(0, 1)
    assert rank_correlation(first, second) > 0.7
    assert correlate_in_box(first, second, torch.tensor([3.0, 2, 7, 6])) == pytest.approx(-1)
    # zeros of both within a box that is larger than the region do not count either
    assert correlate_in_box(first, second, torch.tensor([0.0, 0, 12, 12])) == pytest.approx(-1)
    assert correlate_in_box(first, first, torch.tensor([3.0, 2, 7, 6])) == pytest.approx(1)
    assert correlate_in_box(first, second, torch.tensor([8.0, 8, 12, 12])) == 0
    # independent values of both signs: 0 up to 1 / sqrt(n), where maps after a ReLU would be alike or opposite
    noise = torch.randn(2, 100, 100, generator=torch.Generator().manual_seed(0))
    assert abs(correlate_in_box(noise[0], noise[1], torch.tensor([0.0, 0, 100, 100]))) < 0.03
