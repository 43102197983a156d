"""Rank correlation and randomised layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lineage.explain.randomization import randomize_layers, rank_correlation


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
    copy = randomize_layers(model, count=1, seed=0)
    assert torch.equal(copy[0].weight, model[0].weight)
    assert not torch.equal(copy[2].weight, before)
    assert torch.equal(model[2].weight, before)
    assert float(copy[2].weight.detach().std()) == pytest.approx(float(before.detach().std()), rel=0.5)
