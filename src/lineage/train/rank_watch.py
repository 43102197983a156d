"""A thread of the first process that writes the entry when another process dies, and ends one that was stopped.

If a rank dies, the others wait inside a collective, where no exception reaches them, until Lightning kills them all
some seconds later. The thread uses these seconds. A rank that a signal has stopped (SIGSTOP, a debugger) would let the
others wait for half an hour: it is killed after STOPPED seconds. A run whose processes are all stopped may go on later.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path
from subprocess import Popen
from typing import Any

from pytorch_lightning.plugins.environments import LightningEnvironment

from lineage.train.entry_writer import EntryWriter

log = logging.getLogger(__name__)

PAUSE = 0.25  # seconds between looks
STOPPED = 60.0  # seconds that a rank may be stopped while this process runs
GRACE = 1.0  # seconds; an error common to all ranks reaches this rank too, and its message is better


def watch_ranks(writer: EntryWriter, launcher: Any) -> None:
    """Start the thread. `launcher` is Lightning's; if it is None or has started no other rank, nothing is watched."""
    threading.Thread(target=_watch, args=(writer, launcher), daemon=True, name="lineage-watch").start()


def is_started_by_lightning(strategy: Any) -> bool:
    """Return whether Lightning's first process of this machine started this process.

    Such a process must end with the first: alone it would wait in a collective and hold its GPU. srun and torchrun end
    the processes that they start.
    """
    environment = getattr(strategy, "cluster_environment", None)
    return isinstance(environment, LightningEnvironment) and os.environ.get("LOCAL_RANK", "0") != "0"


def _watch(writer: EntryWriter, launcher: Any) -> None:
    looks_stopped: dict[int, int] = {}  # rank -> looks in a row at which it was stopped
    while writer.path is None:
        ranks: list[Popen[Any]] = getattr(launcher, "procs", [])
        died = {rank: code for rank, code in enumerate((process.poll() for process in ranks), 1) if code}
        if died:
            time.sleep(GRACE)
            codes = ", ".join(f"process {rank} ended with code {code}" for rank, code in died.items())
            writer.write("failed", f"{codes}; its message is on the terminal")
        for rank, process in enumerate(ranks, 1):
            looks_stopped[rank] = looks_stopped.get(rank, 0) + 1 if is_stopped(process.pid) else 0
            if looks_stopped[rank] * PAUSE >= STOPPED:
                log.warning("process %d of the run was stopped for %.0f s and is killed", process.pid, STOPPED)
                process.kill()
        time.sleep(PAUSE)


def is_stopped(pid: int) -> bool:
    """Return whether a signal or a debugger has stopped a process (Linux; False elsewhere)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in ("T", "t")
    except (OSError, IndexError):
        return False
