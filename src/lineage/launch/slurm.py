"""Cells as jobs of a SLURM cluster: one array per generation, each waiting for the one before.

The cells of a generation do not need each other. Every task of an array is a runner for one cell, with leases as
anywhere else. Shortly before the time limit SLURM warns the runner, which stops its training and puts the task back
into the queue, to resume from the last checkpoint.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from lineage.launch.cells import Cell, CellName
from lineage.launch.job import RunnerSettings
from lineage.launch.plan import Plan
from lineage.launch.slurm_task import write_cell_names

AHEAD = 60  # seconds from the warning to the time limit


class SlurmError(RuntimeError):
    """Jobs that could not be submitted; the message is sbatch's."""


def split_generations(plan: Plan) -> list[list[Cell]]:
    """Return the open cells, each generation after those that its cells need."""
    depth: dict[CellName, int] = {}
    for cell in plan.open:  # parents come first
        after = plan.decisions[cell.name].after
        depth[cell.name] = 1 + max((depth.get(name, -1) for name in after), default=-1)
    deepest = max(depth.values(), default=-1)
    return [[cell for cell in plan.open if depth[cell.name] == i] for i in range(deepest + 1)]


def make_commands(
    plan: Plan, settings: RunnerSettings, folder: Path, jobs: int | None, options: Sequence[str]
) -> list[list[str]]:
    """Return one sbatch command per generation, without its dependency; write the lists of cells to `folder`.

    jobs: the most tasks of an array that run at once; None is unlimited.
    options: further options of sbatch.
    """
    folder.mkdir(parents=True, exist_ok=True)
    generations = enumerate(split_generations(plan))
    return [_make_command(plan, cells, settings, folder, i, jobs, options) for i, cells in generations]


def submit(commands: Sequence[Sequence[str]], log: Callable[[str], None]) -> list[str]:
    """Submit and return the ids of the arrays. A generation starts when the one before has ended, even if it failed."""
    if shutil.which("sbatch") is None:
        raise SlurmError("there is no sbatch on this machine: run this on a login node, or use --launcher local")
    ids: list[str] = []
    for first, *rest in commands:
        command = [first, *([f"--dependency=afterany:{ids[-1]}"] if ids else []), *rest]
        log(shlex.join(command))
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            before = f"\nin the queue before it: {' '.join(ids)} (scancel takes them out)" if ids else ""
            raise SlurmError(f"{done.stderr.strip()}{before}")
        ids.append(done.stdout.strip().partition(";")[0])
    return ids


def _make_command(
    plan: Plan,
    cells: list[Cell],
    settings: RunnerSettings,
    folder: Path,
    number: int,
    jobs: int | None,
    options: Sequence[str],
) -> list[str]:
    names = folder / f"generation-{number}.json"
    write_cell_names((cell.name for cell in cells), names)
    lost = ["--retrain-lost"] if plan.retrain is not None else []
    runner = [*settings.python, "-m", "lineage.cli.main", "run", *lost, "--cells", str(names.resolve()), "--cell"]
    options_of_ours = ["--results", str(settings.results.resolve()), "--runs", str(settings.runs.resolve())]
    options_of_ours += [word for text in settings.overrides for word in ("--set", text)]
    change_folder = f"cd {shlex.quote(str(settings.project))}"  # exec: it is the runner whom SLURM warns
    wrapped = f"{change_folder} && exec {shlex.join(runner)} $SLURM_ARRAY_TASK_ID {shlex.join(options_of_ours)}"
    return [
        "sbatch",
        "--parsable",
        "--requeue",
        f"--signal=B:USR1@{AHEAD}",
        "--open-mode=append",
        f"--job-name=lineage-{cells[0].name.table.replace('/', '-')}-{number}",
        f"--array=0-{len(cells) - 1}" + (f"%{jobs}" if jobs else ""),
        f"--output={folder.resolve()}/%A_%a.log",
        *options,
        f"--wrap={wrapped}",
    ]
