"""The first process looks after the entry when another one dies.

A rank that is gone leaves the others waiting inside a collective, where no exception reaches them, until Lightning
kills them all. Until then there are seconds to say what happened.
"""

from __future__ import annotations

import os
import threading
import time
from subprocess import Popen
from typing import Any

from pytorch_lightning.plugins.environments import LightningEnvironment

from lineage.train.entry_writer import Record

PAUSE = 0.25  # seconds between looks
GRACE = 1.0  # an error that all ranks share reaches this rank as well, and says more


def watch(record: Record, launcher: Any) -> None:
    """`launcher` is Lightning's; without one, or before it has started the other ranks, there is nobody to look at."""
    threading.Thread(target=_look, args=(record, launcher), daemon=True, name="lineage-watch").start()


def started_by_first(strategy: Any) -> bool:
    """Such a process is to end with the first one of its machine: alone it would wait in a collective, holding its GPU.

    What srun and torchrun start, they end.
    """
    environment = getattr(strategy, "cluster_environment", None)
    return isinstance(environment, LightningEnvironment) and os.environ.get("LOCAL_RANK", "0") != "0"


def _look(record: Record, launcher: Any) -> None:
    while record.path is None:
        ranks: list[Popen[Any]] = getattr(launcher, "procs", [])
        died = {rank: code for rank, code in enumerate((process.poll() for process in ranks), 1) if code}
        if died:
            time.sleep(GRACE)
            said = ", ".join(f"process {rank} ended with code {code}" for rank, code in died.items())
            record.write("failed", f"{said}; its message is on the terminal")
        time.sleep(PAUSE)
