"""Signals in the workers of a loader: their parent alone ends them.

A scheduler, `kill -- -GROUP` and Ctrl-C signal all processes of a run. A worker that ended at once would end the
training by an error in the step in progress, without a checkpoint.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader

IS_POSIX = hasattr(signal, "sigwaitinfo")  # macOS and Windows lack it: there, workers end at the signals
IGNORED = (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1) if IS_POSIX else ()


class SignalSafeLoader(DataLoader):
    """DataLoader whose workers ignore the signals that stop a run, except a SIGTERM of their parent.

    A worker whose parent dies ends by itself, by torch's watch.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **{"worker_init_fn": leave_signals_to_parent} | options)

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Return the batches. Workers begin with the signals blocked, until they ignore them."""
        if not IS_POSIX:
            return super().__iter__()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, *IGNORED])
        try:
            return super().__iter__()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_signals_to_parent(worker: int) -> None:
    """Ignore the signals in a worker that begins; wait for a SIGTERM of its parent."""
    if IS_POSIX:
        threading.Thread(target=_end_at_signal_of, args=(os.getppid(),), daemon=True).start()
        for number in IGNORED:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED)


def _end_at_signal_of(parent: int) -> None:
    """Wait for a SIGTERM that this process sends, and end as torch's own handler does."""
    while signal.sigwaitinfo([signal.SIGTERM]).si_pid != parent:
        pass
    os._exit(0)
