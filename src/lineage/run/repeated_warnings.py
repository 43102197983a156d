"""Warnings of a file that is opened several times: on the terminal each is printed once, in run.log all are.

Both sides of dataset.val.fraction read, and cure, one file, and a fine-tuning opens its files before its run does.
"""

from __future__ import annotations

import logging


class FirstOfEqual(logging.Filter):
    """Filter that drops messages which passed it before."""

    def __init__(self) -> None:
        super().__init__()
        self.passed: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        is_new = message not in self.passed
        self.passed.add(message)
        return is_new


ON_TERMINAL = FirstOfEqual()  # of this process


def print_warnings_once() -> None:
    """Filter what Python prints by itself, before a run has handlers of its own."""
    if logging.lastResort is not None:
        logging.lastResort.addFilter(ON_TERMINAL)
