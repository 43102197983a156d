"""One cell: claim it, run train.py for it or go on where a killed run stopped, give the claim back.

The run ends when its runner does, kill -9 of the runner included: an orphan would go on writing into a run folder that
the next runner takes over.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from lineage.launch import compose_rows
from lineage.launch.child_process import end_with_parent
from lineage.launch.compose_rows import Ask
from lineage.launch.plan import TEST, Cell
from lineage.results import lease, paths
from lineage.results.lease import Lease
from lineage.results.overrides import Override
from lineage.results.run_folder import RunFolder

LEASES = ".leases"


@dataclass
class Site:
    """Where cells are run."""

    project: Path
    results: Path
    runs: Path
    more: Sequence[str] = ()  # overrides of this machine, such as trainer.devices=8
    command: Sequence[str] = field(default_factory=lambda: (sys.executable,))  # what runs train.py

    @property
    def leases(self) -> Path:
        return self.results / LEASES


@dataclass
class Job:
    cell: Cell
    words: list[str]  # its command
    process: subprocess.Popen[bytes]
    held: Lease
    log: Path

    @property
    def continues(self) -> bool:
        """A run that was killed, from its last checkpoint."""
        return any(Override.parse(word).key == "resume" for word in self.words)

    def ended(self) -> int | None:
        """The exit code, once there is one; the claim is given back with it."""
        code = self.process.poll()
        if code is not None:
            self.held.release()
        return code

    def kill(self) -> None:
        """With all the processes it has started, such as its other ranks."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


def begin(cell: Cell, site: Site, still: Callable[[Cell], bool]) -> Job | None:
    """Start a cell, unless somebody else is at it; `still`: asked under the claim, does it have to be done at all?"""
    held = lease.acquire(site.leases, cell.claim)
    if held is None:
        return None
    if not still(cell):
        held.release()
        return None
    folder = (site.runs / cell.folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    words, log = command(cell, site), RunFolder(folder).terminal_log
    with log.open("ab") as output:
        process = subprocess.Popen(
            words,
            cwd=site.project,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_environment(),
            start_new_session=True,  # Ctrl-C is for the runner, which then stops its jobs
            preexec_fn=partial(end_with_parent, signal.SIGTERM),
        )
    held.worker(process.pid)
    job = Job(cell, words, process, held, log)
    held.lost = job.kill
    return job


def stop(jobs: Sequence[Job]) -> None:
    """All at the same time; each may write its entry before it ends."""
    for job in jobs:
        job.process.terminate()
    for job in jobs:
        job.process.wait()
        job.kill()  # what it left
        job.held.release()


def command(cell: Cell, site: Site) -> list[str]:
    """What a person would type to fill this cell."""
    folder = (site.runs / cell.folder).resolve()
    name = cell.name
    said = [compose_rows.experiment(Ask(name.table, cell.row, name.tier)), f"seed={name.seed}", *site.more]
    said += [f'paths.results="{_short(site.results, site)}"', f'paths.runs="{_short(site.runs, site)}"']
    said += ["evaluate_only=true"] if cell.action == TEST else []
    said += [f"cell.{role}={left}" for role, left in cell.given.items()]
    if goes_on(folder):
        said.append(f'resume="{_short(folder, site)}"')
    return [*site.command, _script(site), *said, f'hydra.run.dir="{_short(folder, site)}"']


def _script(site: Site) -> str:
    """train.py of the project, or `lineage train` as a script where the project has none."""
    return "train.py" if (site.project / "train.py").is_file() else str(paths.train_script())


def _short(path: Path, site: Site) -> str:
    """Relative to the checkout, where it lies in it: runs start there, and their entries are read elsewhere."""
    path, root = path.resolve(), site.project.resolve()
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def reached(cells: Iterable[Cell], site: Site) -> set[Path]:
    """The checkpoints of these cells: while work goes on, new ones take the place of old ones."""
    return {path for cell in cells for path in RunFolder(site.runs / cell.folder).list_checkpoints().values()}


def goes_on(folder: Path) -> bool:
    """Was this run begun and not finished? What a test left half done is done anew."""
    return RunFolder(folder).start.is_file() and bool(RunFolder(folder).list_checkpoints())


def explain(job: Job, code: int) -> str:
    """Why a job failed: the last lines it wrote."""
    lines = job.log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if job.log.is_file() else []
    tail = "\n".join(f"    {line}" for line in lines[-4:])
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return f"{job.cell.name} failed ({how}), see {job.log}\n{tail}\n    again: {shlex.join(job.words)}"


def elsewhere(cell: Cell, site: Site) -> str | None:
    return lease.holder(site.leases, cell.claim)


def _environment() -> dict[str, str]:
    """Lightning takes a job of SLURM for a task of srun and waits for the others, unless the job has this name."""
    return os.environ | ({"SLURM_JOB_NAME": "bash"} if "SLURM_JOB_ID" in os.environ else {})
