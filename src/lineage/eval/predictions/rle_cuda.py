"""COCO's run-length encoding in torch, for runs that are on a GPU; each step has its namesake in rle.py."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lineage.eval.predictions.rle import DIGIT_BITS, FIRST_CHARACTER, MORE, Rles

DIGITS = 7  # that an int32 number needs at most


class Runs(NamedTuple):
    """R runs of ones between canvas positions (counted column by column), in that order within each mask."""

    starts: Tensor  # [R]
    ends: Tensor  # [R] exclusive
    mask: Tensor  # [R] the mask that a run belongs to, rising


def encode_runs(runs: Runs, areas: Tensor) -> Rles:
    """Return the RLE of every mask from its runs; areas: [D] pixels of the canvas of each mask."""
    # 1. Runs that touch become one.
    runs = _join_runs(runs)
    # 2. Run lengths: zeros, ones, zeros, ...
    counts, per_mask = _run_lengths(runs, areas)
    # 3. Characters.
    text, lengths = _compress(counts, per_mask)
    return Rles(text.cpu().numpy(), lengths.cpu().numpy())


def _join_runs(runs: Runs) -> Runs:
    """Join runs that touch or overlap: a mask over the full height continues in the next column."""
    is_apart = torch.ones(len(runs.starts) + 1, dtype=torch.bool, device=runs.starts.device)
    is_apart[1:-1] = (runs.starts[1:] > runs.ends[:-1]) | (runs.mask[1:] != runs.mask[:-1])
    return Runs(runs.starts[is_apart[:-1]], runs.ends[is_apart[1:]], runs.mask[is_apart[:-1]])


def _run_lengths(runs: Runs, areas: Tensor) -> tuple[Tensor, Tensor]:
    """Return the flat counts of all masks and how many belong to each."""
    # 1. Positions where a count ends: the start and end of each run, and the end of the canvas.
    runs_of_mask = torch.bincount(runs.mask, minlength=len(areas))
    last = (2 * runs_of_mask + 1).cumsum(0) - 1
    first = last - 2 * runs_of_mask
    marks = areas.new_zeros(2 * len(runs.mask) + len(areas))
    position = 2 * torch.arange(len(runs.mask), device=areas.device) + runs.mask
    marks[position], marks[position + 1], marks[last] = runs.starts, runs.ends, areas
    # 2. Their differences; the first of each mask counts from 0.
    counts = marks.diff(prepend=marks.new_zeros(1))
    counts[first] = marks[first]
    # 3. A last count of 0 is not written.
    has_rest = counts[last] > 0
    is_written = torch.ones_like(counts, dtype=torch.bool)
    is_written[last] = has_rest
    return counts[is_written], 2 * runs_of_mask + has_rest


def _compress(counts: Tensor, per_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return the characters of the counts, and how many belong to each mask.

    From the fourth count of a mask on, the difference to the count two before is written.
    """
    mask = torch.repeat_interleave(torch.arange(len(per_mask), device=counts.device), per_mask)
    first = per_mask.cumsum(0) - per_mask
    place = torch.arange(len(counts), device=counts.device) - first[mask]
    before = torch.nn.functional.pad(counts, (2, 0))[: len(counts)]
    characters = _characters(torch.where(place > 2, counts - before, counts))
    is_used = characters > 0
    return characters[is_used], torch.zeros_like(per_mask).index_add_(0, mask, is_used.sum(1))


def _characters(numbers: Tensor) -> Tensor:
    """Return [n, DIGITS] uint8 characters, low digits first, zero where unused."""
    # 1. All digits.
    shifts = DIGIT_BITS * torch.arange(DIGITS, device=numbers.device)
    digits = (numbers[:, None] >> shifts) & (MORE - 1)
    # 2. One is the last if its fifth bit, the sign, says all about the rest; those after it are not used.
    more = (numbers[:, None] >> shifts + DIGIT_BITS) != -(digits >> DIGIT_BITS - 1)
    is_used = torch.nn.functional.pad(more, (1, 0), value=True)[:, :-1].cumprod(1)
    return ((digits + MORE * more + FIRST_CHARACTER) * is_used).to(torch.uint8)
