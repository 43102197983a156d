"""Slots that hold an object: heads on foreground compute these alone, on a CPU and in a recorded step.

A step has as many foreground slots as its sampler may fill, 128 an image in the papers, so that shapes never depend on
predictions. An untrained RPN fills some ten of them, and a mask head is the most expensive part of a step. A CPU reads
a count without waiting for a device, so there slots without an object are cut away. Their weight in the loss is 0:
losses and gradients are equal to rounding. Batch norm averages over slots, so a head that has it keeps them all.

A GPU would have to be waited for, so there the engine sets a limit (ops/slot_limit.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lineage.ops.boxes import take
from lineage.ops.slot_limit import expects_report, get_slot_limit
from lineage.structures import SampledProposals

BUCKET = 8  # slots an image come in multiples of it, so that a convolution meets few shapes


class Head(Protocol):
    """A head on foreground: a module whose labels below `num_classes` are objects."""

    num_classes: int

    def modules(self) -> Iterator[nn.Module]: ...


def keep_filled(sampled: SampledProposals, head: Head) -> SampledProposals:
    """Return the slots that hold an object [B, n, ...], in their order, up to the bucket of the fullest image.

    If the host would have to wait for the count, or if `head` has batch norm, return all slots.
    """
    device = sampled.labels.device
    limit = None if torch.compiler.is_compiling() else get_slot_limit()
    if not (limit or reads_are_free(device)) or any(isinstance(part, _BatchNorm) for part in head.modules()):
        return sampled
    filled = _find_filled(sampled, head.num_classes)
    if limit:
        if expects_report():
            limit.report(filled.sum(1).max())
        slots = filled.shape[1] if limit.slots is None else limit.slots
    else:
        slots = max(-(-int(filled.sum(1).max()) // BUCKET), 1) * BUCKET
    if slots >= filled.shape[1]:
        return sampled
    order = filled.byte().argsort(dim=1, descending=True, stable=True)[:, :slots]
    return SampledProposals(*(take(field, order) for field in sampled))


def report_filled(sampled: SampledProposals, num_classes: int) -> None:
    """Report what heads on these slots will need, to an engine that limits slots.

    Said as soon as proposals are sampled, it reaches the host while the box head still runs.
    """
    limit = None if torch.compiler.is_compiling() else get_slot_limit()
    if limit:
        limit.report(_find_filled(sampled, num_classes).sum(1).max())


def _find_filled(sampled: SampledProposals, num_classes: int) -> Tensor:
    """Return which slots hold an object, [B, N] bool."""
    return sampled.valid & (sampled.labels < num_classes)


def reads_are_free(device: torch.device) -> bool:
    """Return whether a value can be read at no cost: in eager mode on a CPU."""
    return device.type == "cpu" and not torch.compiler.is_compiling()
