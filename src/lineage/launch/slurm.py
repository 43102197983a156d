"""Cells as jobs of a SLURM cluster: one array per generation, each waiting for the one before.

A generation holds the cells that need nothing of each other. Every task of an array is a runner for one cell, so
claims and taking over dead ones are the same as anywhere else. Shortly before the time limit SLURM warns the runner,
which stops its training and puts the task back into the queue: there it goes on from the last checkpoint.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from lineage.launch.job import Site
from lineage.launch.plan import Cell, Name, Plan

AHEAD = 60  # seconds from the warning to the time limit


class SlurmError(RuntimeError):
    """The jobs could not be handed in; the message is sbatch's."""


def generations(planned: Plan) -> list[list[Cell]]:
    """Open cells, each generation after those that its cells need."""
    depth: dict[Name, int] = {}
    for cell in planned.open:  # parents come first
        depth[cell.name] = 1 + max((depth.get(name, -1) for name in cell.after), default=-1)
    deepest = max(depth.values(), default=-1)
    return [[cell for cell in planned.open if depth[cell.name] == i] for i in range(deepest + 1)]


def scripts(planned: Plan, site: Site, folder: Path, jobs: int | None, options: Sequence[str]) -> list[list[str]]:
    """One sbatch command per generation, without its dependency; the lists of cells are written to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    return [_command(cells, site, folder, i, jobs, options) for i, cells in enumerate(generations(planned))]


def submit(commands: Sequence[Sequence[str]], say: Callable[[str], None]) -> list[str]:
    """The ids of the arrays. A generation starts when the one before has ended, failed tasks included."""
    if shutil.which("sbatch") is None:
        raise SlurmError("there is no sbatch on this machine: run this on a login node, or use --launcher local")
    ids: list[str] = []
    for first, *rest in commands:
        command = [first, *([f"--dependency=afterany:{ids[-1]}"] if ids else []), *rest]
        say(shlex.join(command))
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            before = f"\nin the queue before it: {' '.join(ids)} (scancel takes them out)" if ids else ""
            raise SlurmError(f"{done.stderr.strip()}{before}")
        ids.append(done.stdout.strip().partition(";")[0])
    return ids


def _command(
    cells: list[Cell], site: Site, folder: Path, number: int, jobs: int | None, options: Sequence[str]
) -> list[str]:
    listed = folder / f"generation-{number}.json"
    listed.write_text(json.dumps([list(cell.name) for cell in cells], indent=1), encoding="utf-8")
    runner = [*site.command, "-m", "lineage.cli.main", "run", "--cells", str(listed.resolve()), "--cell"]
    places = ["--results", str(site.results.resolve()), "--runs", str(site.runs.resolve())]
    more = [word for text in site.more for word in ("--set", text)]
    there = f"cd {shlex.quote(str(site.project))}"  # exec: it is the runner whom SLURM warns
    wrapped = f"{there} && exec {shlex.join(runner)} $SLURM_ARRAY_TASK_ID {shlex.join([*places, *more])}"
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
