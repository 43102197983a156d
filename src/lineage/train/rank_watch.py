"""A thread of the first process that writes the entry when another process dies.

If a rank dies, the others wait inside a collective, where no exception reaches them, until Lightning kills them all
some seconds later. The thread uses these seconds.
"""

from __future__ import annotations

import os
import threading
import time
from subprocess import Popen
from typing import Any

from pytorch_lightning.plugins.environments import LightningEnvironment

from lineage.train.entry_writer import EntryWriter

PAUSE = 0.25  # seconds between looks
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
    while writer.path is None:
        ranks: list[Popen[Any]] = getattr(launcher, "procs", [])
        died = {rank: code for rank, code in enumerate((process.poll() for process in ranks), 1) if code}
        if died:
            time.sleep(GRACE)
            codes = ", ".join(f"process {rank} ended with code {code}" for rank, code in died.items())
            writer.write("failed", f"{codes}; its message is on the terminal")
        time.sleep(PAUSE)
