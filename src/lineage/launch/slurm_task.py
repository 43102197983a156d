"""One task of a SLURM array: a runner for one cell, which SLURM warns before the time limit.

On the warning the training stops. If it wrote a new checkpoint, the task is requeued and resumes there; if not, the
task fails, because it would never make progress.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import Any

from lineage.launch.cells import CellName
from lineage.launch.job import RunnerSettings, list_checkpoints
from lineage.launch.local import run_cells
from lineage.launch.plan import DONE, Plan
from lineage.results.atomic import atomic_write
from lineage.results.entry import is_path_part
from lineage.tables.table import TableError


class OutOfTime(KeyboardInterrupt):
    """The warning of SLURM."""


class TaskError(RuntimeError):
    """A task that ends before its cell is done; the message has the remedy."""


def read_cell_names(path: Path) -> list[CellName]:
    """Read a list of cells, as `slurm` and `lineage next` write it. Raises TableError if it is no such list."""
    try:
        names = json.loads(path.read_text(encoding="utf-8"))
        return [_parse_cell_name(*name) for name in names]
    except OSError as error:
        raise TableError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise TableError(f"{path}: expected a list of [table, row, tier, seed]: {error!s:.200}") from error


def _parse_cell_name(table: Any, row: Any, tier: Any, seed: Any) -> CellName:
    """Return the name of a cell, whose parts are names of folders. Raises ValueError for others."""
    parts = [*table.split("/"), row, tier]
    if len(parts) != 4 or not all(is_path_part(part) for part in parts):
        raise ValueError(f"{table!r:.80}, {row!r:.80} and {tier!r:.80} are no names of a table, a row and a tier")
    if type(seed) is not int or not 0 <= seed < 2**32:
        raise ValueError(f"{seed!r:.80} is no seed")
    return CellName(table, row, tier, seed)


def write_cell_names(names: Iterable[CellName], path: Path) -> None:
    atomic_write(path, json.dumps([list(name) for name in names], indent=1) + "\n")


def run_task(plan: Plan, settings: RunnerSettings, log: Callable[[str], None]) -> Plan | None:
    """Run the cell of a task; return the plan as it is in the end, or None if the task is back in the queue."""
    signal.signal(signal.SIGUSR1, _raise_out_of_time)
    before = _progress(plan, settings)
    try:
        return run_cells(plan, settings, 1, log)
    except OutOfTime:
        if _progress(plan, settings) == before:
            raise TaskError(
                "the time limit is near and no checkpoint was reached, so this would never end: give it more time "
                "(--sbatch=--time=...) or checkpoints more often (--set checkpoint_every=...)"
            ) from None
        log("the time limit is near: back into the queue, to go on from the last checkpoint")
        _requeue()
        return None


def _progress(plan: Plan, settings: RunnerSettings) -> tuple[set[Path], int]:
    """Return the checkpoints of the cells and the number of cells that are done."""
    now = plan.read_store(settings.results)
    return list_checkpoints(now.cells.values(), settings), sum(now.action(cell) == DONE for cell in now.cells.values())


def _requeue() -> None:
    """Put this task back into the queue. SLURM ends it with that, so nothing may come after."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    job = f"{array}_{task}" if array else os.environ["SLURM_JOB_ID"]
    done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, check=False)
    if done.returncode:
        raise TaskError(f"SLURM does not take {job} back: {done.stderr.strip()}")


def _raise_out_of_time(number: int, frame: FrameType | None) -> None:
    raise OutOfTime
