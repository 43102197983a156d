"""A limit on the foreground slots that heads compute, set by the engine that runs a step.

A GPU would have to be waited for to learn how many slots hold an object. So the engine chooses a number beforehand,
reads while the step goes on how many were needed, and repeats the forward pass if they were too few.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from torch import Tensor


class SlotLimit(Protocol):
    """Slots per image that heads compute at most, None for all; `report` is given what heads need, []."""

    slots: int | None

    def report(self, needed: Tensor) -> None: ...


_limit: SlotLimit | None = None
_is_reported = False


@contextmanager
def limit_slots(limit: SlotLimit) -> Iterator[None]:
    """Let the heads of a step compute no more slots than `limit` allows, on any device."""
    global _limit
    before, _limit = _limit, limit
    try:
        yield
    finally:
        _limit = before


def get_slot_limit() -> SlotLimit | None:
    return _limit


@contextmanager
def skip_reports(is_reported: bool) -> Iterator[None]:
    """Let heads report nothing inside if what they need was reported before, so that the host knows it earlier."""
    global _is_reported
    before, _is_reported = _is_reported, is_reported
    try:
        yield
    finally:
        _is_reported = before


def expects_report() -> bool:
    """Return whether a head has to report what it needs."""
    return _limit is not None and not _is_reported
