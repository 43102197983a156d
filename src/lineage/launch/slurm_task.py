"""One task of an array of SLURM: a runner for one cell, which is warned before the time limit.

On the warning the training stops and the task goes back into the queue, to go on from its last checkpoint. Where it has
reached none it does not: it never would.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from lineage.launch import job as work
from lineage.launch import local
from lineage.launch.job import Site
from lineage.launch.plan import DONE, Name, Plan


class OutOfTime(KeyboardInterrupt):
    """The warning."""


class TaskError(RuntimeError):
    """The task ends before its cell is done; the message says what to do."""


def name(cells: Path, number: int) -> Name:
    """Of the cell, from the list that `slurm` wrote."""
    table, row, tier, seed = json.loads(cells.read_text(encoding="utf-8"))[number]
    return Name(table, row, tier, seed)


def run(planned: Plan, site: Site, say: Callable[[str], None]) -> int:
    signal.signal(signal.SIGUSR1, _warned)
    before = _progress(planned, site)
    try:
        return local.run(planned, site, 1, say)
    except OutOfTime:
        if _progress(planned, site) == before:
            raise TaskError(
                "the time limit is near and no checkpoint was reached, so this would never end: give it more time "
                "(--sbatch=--time=...) or checkpoints more often (--set checkpoint_every=...)"
            ) from None
        say("the time limit is near: back into the queue, to go on from the last checkpoint")
        _requeue()
        return 0


def _progress(planned: Plan, site: Site) -> tuple[set[Path], int]:
    cells = planned.cells.values()
    return work.reached(cells, site), sum(cell.action == DONE for cell in cells)


def _requeue() -> None:
    """SLURM ends the task with it, so nothing may come after."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    job = f"{array}_{task}" if array else os.environ["SLURM_JOB_ID"]
    done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, check=False)
    if done.returncode:
        raise TaskError(f"SLURM does not take {job} back: {done.stderr.strip()}")


def _warned(number: int, frame: FrameType | None) -> None:
    raise OutOfTime
