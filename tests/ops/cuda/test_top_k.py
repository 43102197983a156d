"""Kernels that rank, sample and decode a choice against torch's operations, under Triton's interpreter."""

from __future__ import annotations

import pytest

from tests.ops.interpreter import run_interpreted

RANKING = """
import torch
import torch.nn.functional as F
from lineage.ops.cuda.top_k import top_k

def reference(scores, sizes, k):
    values, indices, start = [], [], 0
    for part in scores.split(sizes, 1):
        order = (torch.where(part.isnan(), torch.inf, part) + 0.0).sort(dim=1, descending=True, stable=True).indices
        order = order[:, :k]
        missing = k - order.shape[1]
        values.append(F.pad(part.gather(1, order), (0, missing), value=-torch.inf))
        indices.append(F.pad(order + start, (0, missing), value=-1))
        start += part.shape[1]
    return torch.stack(values, 1), torch.stack(indices, 1)

generator = torch.Generator().manual_seed(0)

def draw(kind, *shape):
    scores = torch.randn(*shape, generator=generator) * 3 - 2
    if kind == "ties":
        scores = scores.bfloat16().float()
    if kind == "few":
        scores = scores.round().clamp(-1, 1)  # with zeros of both signs
    if kind == "equal":
        scores = torch.zeros(shape)
    if kind == "infinite":
        scores[torch.rand(*shape, generator=generator) < 0.9] = -torch.inf
        scores[:, 5] = torch.inf
    if kind == "nan":
        scores[:, ::7] = torch.nan
    return scores

for kind in ("plain", "ties", "few", "equal", "infinite", "nan"):
    for sizes, k in CASES:
        scores = draw(kind, 2, sum(sizes))
        values, indices = top_k(scores, sizes, k)
        expected, places = reference(scores, sizes, k)
        assert torch.equal(indices, places), (kind, sizes, k)
        assert torch.equal(values.view(torch.int32), expected.view(torch.int32)), (kind, sizes, k)
        if kind == "plain" and len(sizes) == 1 and k <= sum(sizes):
            assert torch.equal(values[:, 0], scores.topk(k).values)
"""
DIRECT = "CASES = (([7], 1), ([77], 20), ([77], 77), ([77], 200), ([150, 40, 7], 64), ([33, 1, 129, 64, 7], 100))\n"
SELECTED = "CASES = (([5000, 4097, 77], 100), ([4500], 500))\n"
LONG = "CASES = (([201600, 50400, 12600, 3150, 819], 100),)\n"
MANY_CHUNKS = "CASES = (([2111, 90, 5], 150),)\n"

SAMPLING = """
import torch
from lineage.ops import matching
from lineage.ops.random import fold_in

generator = torch.Generator().manual_seed(0)
keys = torch.tensor([fold_in(0, image) for image in range(3)])
CASES = ((700, 0.3, 0.3), (700, 0.01, 0.5), (40, 0.5, 0.1), (5000, 0.01, 0.9), (90, 0, 0))
for count, fraction in ((64, 0.25), (50, 1.0), (16, 0.0)):
    for regions, objects, negatives in CASES:
        draws = torch.rand(3, regions, generator=generator)
        match = matching.Match(None, draws < objects, draws > 1 - negatives)
        options = dict(count=count, fraction=fraction, rng_keys=keys, salt=3)
        matching.runs_triton = lambda x: False
        expected = matching.subsample(match, **options)
        matching.runs_triton = lambda x: True
        chosen = matching.subsample(match, **options)
        assert torch.equal(chosen.valid, expected.valid) and torch.equal(chosen.foreground, expected.foreground)
        assert torch.equal(chosen.slots[chosen.valid], expected.slots[expected.valid])
        assert chosen.slots.dtype == torch.int64 and chosen.slots.min() >= 0 and chosen.slots.max() < regions
"""

CHOICE = """
import torch
from lineage.ops import boxes as box_ops
from tests.ops.test_boxes import random_boxes

generator = torch.Generator().manual_seed(0)
anchors, sizes = random_boxes(300, seed=1), torch.tensor([[90.0, 120.0], [150.0, 70.5]])
deltas = torch.randn(2, 300, 4, generator=generator)
index = torch.randint(-1, 300, (2, 3, 100), generator=generator)
expected = box_ops.decode_at(deltas, anchors, index, (10.0, 10.0, 5.0, 5.0), sizes)
box_ops.runs_kernels = lambda x: True
boxes = box_ops.decode_at(deltas, anchors, index, (10.0, 10.0, 5.0, 5.0), sizes)
assert torch.allclose(boxes, expected, rtol=1e-6, atol=1e-4) and boxes.shape == expected.shape
assert not boxes[index < 0].any() and (index < 0).any()
"""

SELECTION = """
import torch
from types import SimpleNamespace
from lineage.models.proposals import ranking, rpn
from lineage.ops import boxes as box_ops
from tests.ops.test_boxes import random_boxes

generator = torch.Generator().manual_seed(0)
counts = [4500, 300, 40]
anchors, sizes = random_boxes(sum(counts), seed=1), torch.tensor([[90.0, 120.0], [150.0, 70.5]])
logits, deltas = torch.randn(2, sum(counts), generator=generator), torch.randn(2, sum(counts), 4, generator=generator)
predictions = rpn.Predictions(anchors, logits, deltas / 4, counts)
model = SimpleNamespace(bbox_reg_weights=(1.0,) * 4, min_size=1.0, min_logit=None, nms_thresh=0.7)
for name in ("_top_of_level", "_top_of_levels"):
    setattr(model, name, getattr(rpn.RPN, name).__get__(model))
select = lambda: rpn.RPN._select(model, SimpleNamespace(sizes=sizes), predictions, rpn.TopN(100, 150))
expected = select()
ranking.runs_triton = box_ops.runs_kernels = lambda x: True
for field, other in zip(select(), expected, strict=True):
    assert field.dtype == other.dtype and torch.allclose(field.float(), other.float(), rtol=1e-5, atol=1e-4)
assert expected.valid.any(1).all()
"""


@pytest.mark.parametrize("cases", [DIRECT, SELECTED, pytest.param(LONG, marks=pytest.mark.slow)])
def test_ranks_equal_a_stable_sort(cases: str) -> None:
    run_interpreted("-c", cases + RANKING)


@pytest.mark.slow
def test_more_chunks_than_are_read_at_once() -> None:
    small = "from lineage.ops.cuda import top_k as kernels\nkernels.CHUNK, kernels.DIRECT = 128, 0\n"
    run_interpreted("-c", small + MANY_CHUNKS + RANKING)


@pytest.mark.parametrize("program", [SAMPLING, CHOICE, SELECTION])
def test_samples_and_choices_equal_torch(program: str) -> None:
    run_interpreted("-c", program)
