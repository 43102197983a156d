"""How many foreground slots a recorded step computes, foretold from the steps before it.

An image has 128 slots in the papers and fills some thirty. A recorded step has fixed shapes, and reading the count
before the heads would stop the device. So a step is recorded for a few numbers of slots; the number needed is copied
to the host while the step goes on, and if it was larger than that computed, the forward pass is repeated with more.
"""

from __future__ import annotations

import time
from collections import deque

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

MIN_SLOTS = 16  # then 32, 64, ...: each has a graph of its own
MEMORY = 16  # steps whose largest need is expected again
MARGIN = 1.25
MAX_HEADS = 16  # that report a need
UNREAD = -1
PATIENCE = 5.0  # seconds after which the device is waited for in the usual way


class NeededSlots:
    """A limit on the slots of one step, and memory of the host where the device writes what was needed."""

    def __init__(self, slots: int | None, *, pinned: bool) -> None:
        self.slots = slots
        self.heads = 0
        self.host = torch.full((MAX_HEADS,), UNREAD, dtype=torch.int64, pin_memory=pinned)

    def report(self, needed: Tensor) -> None:
        """Copy a need, that of a head or of all of them, to the host as soon as the device knows it."""
        if self.heads < MAX_HEADS:
            self.host[self.heads].copy_(needed, non_blocking=True)
        self.heads += 1

    def reset(self) -> None:
        """Forget what was written; the device must have written it before."""
        self.host.fill_(UNREAD)

    def wait(self) -> int:
        """Return the largest need of the step, 0 without heads. The device goes on with the step meanwhile."""
        written = self.host.numpy()[: min(self.heads, MAX_HEADS)]
        started = time.perf_counter()
        while (written == UNREAD).any():
            time.sleep(0)  # lets other threads run; any longer sleep may last a tick of the kernel's clock, 1 to 10 ms
            if time.perf_counter() - started > PATIENCE:
                torch.cuda.synchronize()
        return int(written.max()) if len(written) else 0

    def is_enough(self) -> bool:
        """Return whether the step computed every slot that holds an object."""
        return self.slots is None or (self.wait() <= self.slots and self.heads <= MAX_HEADS)


class SlotForecast:
    """The number of slots for the next step; None is all, which is what a model gets whose steps cannot be repeated."""

    def __init__(self, model: nn.Module) -> None:
        # a second forward pass would count statistics twice, and draw other units
        self.may_repeat = not any(isinstance(part, _BatchNorm | _DropoutNd) for part in model.modules())
        self.recent: deque[int] = deque(maxlen=MEMORY)

    def add(self, needed: int) -> None:
        self.recent.append(needed)

    def choose(self, at_least: int = 0) -> int | None:
        """Return a number that is probably enough, and at least `at_least`."""
        if not self.may_repeat or not self.recent:
            return None
        expected = max(max(self.recent) * MARGIN, at_least)
        slots = MIN_SLOTS
        while slots < expected:
            slots *= 2
        return slots
