"""Signals that all processes of a run get leave its loaders' workers at work."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
import torch
from torch.utils.data import Dataset

from lineage.data.worker_signals import IS_POSIX, SignalSafeLoader

pytestmark = pytest.mark.skipif(not IS_POSIX, reason="POSIX without macOS")
STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)


class Numbers(Dataset[int]):
    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> int:
        return index


def signal_from_elsewhere(pids: list[int], number: int) -> None:
    """Send a signal as a scheduler does: from a process that is no parent of the workers."""
    commands = "; ".join(f"kill -{int(number)} {pid}" for pid in pids)
    assert os.waitstatus_to_exitcode(os.system(commands)) == 0


@pytest.mark.parametrize("number", STOP, ids=lambda number: number.name)
def test_workers_work_on_and_end_with_their_loader(number: signal.Signals) -> None:
    loader = SignalSafeLoader(Numbers(), num_workers=2)
    batches = iter(loader)
    workers = list(batches._workers)  # type: ignore[attr-defined]
    signal_from_elsewhere([worker.pid for worker in workers], number)  # as they begin
    numbers = [next(batches)]
    signal_from_elsewhere([worker.pid for worker in workers], number)
    time.sleep(0.1)
    assert torch.cat([*numbers, *batches]).tolist() == list(range(40))
    del batches
    assert not any(worker.is_alive() for worker in workers)


def test_the_parent_ends_a_worker() -> None:
    batches = iter(SignalSafeLoader(Numbers(), num_workers=1))
    (worker,) = batches._workers  # type: ignore[attr-defined]
    worker.terminate()
    worker.join(5)
    assert worker.exitcode == 0
    assert not Path(f"/proc/{worker.pid}").exists()
