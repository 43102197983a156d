"""Ranking, sampling and suppression on a CUDA device against torch on the CPU, at the sizes of a training step."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lineage.models.proposals.ranking import top_k, top_k_of_segments
from lineage.ops.matching import Match, subsample
from lineage.ops.nms import nms
from lineage.ops.random import fold_in
from tests.ops.test_boxes import random_boxes

pytestmark = pytest.mark.gpu
LEVELS = [201600, 50400, 12600, 3150, 819]


def rank(scores: Tensor, k: int) -> Tensor:
    """Return the indices of a stable sort, the first k."""
    return scores.sort(dim=1, descending=True, stable=True).indices[:, :k]


@pytest.mark.parametrize("coarse", [False, True])
def test_levels_are_ranked_as_by_a_stable_sort(coarse: bool) -> None:
    scores = torch.randn(4, sum(LEVELS), generator=torch.Generator().manual_seed(0)) * 3
    scores = scores.bfloat16().float() if coarse else scores
    values, indices = (x.cpu() for x in top_k_of_segments(scores.cuda(), LEVELS, 2000))
    start = 0
    for level, part in enumerate(scores.split(LEVELS, 1)):
        expected = rank(part, 2000)
        count = expected.shape[1]
        assert torch.equal(indices[:, level, :count], expected + start)
        assert torch.equal(values[:, level, :count], part.gather(1, expected))
        assert (indices[:, level, count:] == -1).all()
        assert (values[:, level, count:] == -torch.inf).all()
        start += part.shape[1]


@pytest.mark.parametrize(("count", "k"), [(10000, 2000), (4096, 512), (5, 5), (300000, 1)])
def test_rows_in_a_recorded_graph(count: int, k: int) -> None:
    scores = torch.randn(4, count, generator=torch.Generator().manual_seed(1)).round(decimals=2)
    static = torch.zeros_like(scores, device="cuda")
    top_k(static, k)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        _, indices = top_k(static, k)
    for _ in range(3):
        static.copy_(scores)
        graph.replay()
        assert torch.equal(indices.cpu(), rank(scores, k))
        scores = -scores


@pytest.mark.parametrize("regions", [2100, 268569])
def test_samples_are_those_of_the_cpu(regions: int) -> None:
    draws = torch.rand(4, regions, generator=torch.Generator().manual_seed(2))
    keys = torch.tensor([fold_in(0, image) for image in range(4)])
    fields = draws < 0.1, draws > 0.3
    options = {"count": 256, "fraction": 0.5, "salt": 1}
    expected = subsample(Match(draws, *fields), rng_keys=keys, **options)
    chosen = subsample(Match(draws.cuda(), *(x.cuda() for x in fields)), rng_keys=keys.cuda(), **options)
    assert torch.equal(chosen.valid.cpu(), expected.valid)
    assert torch.equal(chosen.foreground.cpu(), expected.foreground)
    # the CPU ranks background by numbers that lost a bit, so that some of equal rank change places
    assert (chosen.slots.cpu() != expected.slots).float().mean() < 0.02


@pytest.mark.parametrize("threshold", [0.3, 0.6, 0.7])
def test_survivors_of_many_boxes(threshold: float) -> None:
    boxes = random_boxes(3, 2000, seed=1, extent=300).round()
    valid = torch.rand(3, 2000, generator=torch.Generator().manual_seed(3)) > 0.1
    groups = torch.arange(2000).remainder(3).repeat(3, 1)
    on_cuda = nms(boxes.cuda(), groups.cuda(), valid.cuda(), threshold)
    assert torch.equal(on_cuda.cpu(), nms(boxes, groups, valid, threshold))
