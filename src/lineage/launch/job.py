"""One cell as a process: take its lease, run train.py for it or resume a killed run, release the lease.

The run ends when its runner does, even if that is killed with kill -9: an orphan would go on writing into a run folder
that the next runner takes over.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

from lineage.launch.cells import Cell
from lineage.launch.child_process import end_with_parent
from lineage.launch.compose_rows import RowRequest
from lineage.launch.plan import TEST, Decision, lease_name
from lineage.results import lease, paths
from lineage.results.lease import Lease
from lineage.results.overrides import Override
from lineage.results.run_folder import RunFolder

LEASES = ".leases"
TAIL = 4096  # bytes of a log that hold its last progress line
PROGRESS = re.compile(
    r"^(step \d+/\d+)  (\S+ left)(?:  (loss \S+))?|^(evaluating (?:at|the best weights, those of) step \d+)$",
    re.MULTILINE,
)  # lines of train/progress.py


@dataclass(frozen=True, slots=True)
class RunnerSettings:
    """The folders of a runner, and how it starts train.py on this machine."""

    project: Path
    results: Path
    runs: Path
    overrides: Sequence[str] = ()  # of this machine, such as trainer.devices=8
    python: Sequence[str] = (sys.executable,)  # the command that runs train.py

    @property
    def leases(self) -> Path:
        return self.results / LEASES


@dataclass
class Job:
    cell: Cell
    action: str
    command: list[str]
    process: subprocess.Popen[bytes]
    lease: Lease
    log: Path
    log_start: int = 0  # bytes of the log that earlier processes of the run wrote

    @property
    def lease_name(self) -> str:
        return lease_name(self.cell, self.action)

    @property
    def is_resumed(self) -> bool:
        """Return whether it continues a killed run from its last checkpoint."""
        return any(Override.parse(word).key == "resume" for word in self.command)

    def poll(self) -> int | None:
        """Return the exit code, and release the lease, once the process has ended."""
        code = self.process.poll()
        if code is not None:
            self.lease.release()
        return code

    def read_progress(self) -> str:
        """Return e.g. "step 40/600, 0:01:20 left, loss 1.234", of the last progress line in its log, or ""."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(self.log_start, log.seek(0, os.SEEK_END) - TAIL))
                matches = PROGRESS.findall(log.read().decode(errors="replace"))
        except OSError:
            return ""
        return ", ".join(filter(None, matches[-1])) if matches else ""

    def kill(self) -> None:
        """Kill the process and all that it has started, such as its other ranks."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


def start_job(
    cell: Cell, decision: Decision, settings: RunnerSettings, is_still_open: Callable[[], bool]
) -> Job | None:
    """Start a cell. Return None if another runner has its lease, or has done it.

    is_still_open: asked under the lease
    """
    held_lease = lease.acquire(settings.leases, lease_name(cell, decision.action))
    if held_lease is None:
        return None
    if not is_still_open():
        held_lease.release()
        return None
    folder = (settings.runs / cell.folder).resolve()
    if decision.action == TEST and can_resume(folder):
        set_aside(folder)
    folder.mkdir(parents=True, exist_ok=True)
    command, log = make_command(cell, decision, settings), RunFolder(folder).terminal_log
    with log.open("ab") as output:
        log_start = output.tell()
        process = subprocess.Popen(
            command,
            cwd=settings.project,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_environment(),
            start_new_session=True,  # Ctrl-C is for the runner, which then stops its jobs
            preexec_fn=partial(end_with_parent, signal.SIGTERM),
        )
    held_lease.register_worker(process.pid)
    job = Job(cell, decision.action, command, process, held_lease, log, log_start)
    held_lease.lost = job.kill
    return job


def stop_jobs(jobs: Sequence[Job]) -> None:
    """Stop all at the same time; each may write its entry before it ends."""
    for job in jobs:
        job.process.terminate()
    for job in jobs:
        job.process.wait()
        job.kill()  # processes that it left
        job.lease.release()


def make_command(cell: Cell, decision: Decision, settings: RunnerSettings) -> list[str]:
    """Return the command that a person would type to fill this cell."""
    folder, name = (settings.runs / cell.folder).resolve(), cell.name
    overrides = [RowRequest(name.table, cell.row, name.tier).override, f"seed={name.seed}", *settings.overrides]
    overrides += [f'paths.{key}="{_relative(getattr(settings, key), settings)}"' for key in ("results", "runs")]
    overrides += ["evaluate_only=true"] if decision.action == TEST else []
    overrides += [f"cell.{role}={parent}" for role, parent in decision.parents.items()]
    if decision.action != TEST and can_resume(folder):
        overrides.append(f'resume="{_relative(folder, settings)}"')
    return [*settings.python, _script(settings), *overrides, f'hydra.run.dir="{_relative(folder, settings)}"']


def _script(settings: RunnerSettings) -> str:
    """Return train.py of the project, or `lineage train` as a script if the project has none."""
    return "train.py" if (settings.project / "train.py").is_file() else str(paths.train_script())


def _relative(path: Path, settings: RunnerSettings) -> str:
    """Return a path in the checkout relative to it: runs start there, and their entries are read elsewhere."""
    path, root = path.resolve(), settings.project.resolve()
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def list_checkpoints(cells: Iterable[Cell], settings: RunnerSettings) -> set[Path]:
    """Return the checkpoints of these cells; they change as long as one of them trains."""
    folders = [RunFolder(settings.runs / cell.folder) for cell in cells]
    return {path for folder in folders for path in folder.list_checkpoints().values()}


def can_resume(folder: Path) -> bool:
    """Return whether a run was killed after a checkpoint. A test has none and starts again."""
    return RunFolder(folder).start.is_file() and bool(RunFolder(folder).list_checkpoints())


def set_aside(folder: Path) -> None:
    """Rename the folder of a stopped training: since then another row has trained these weights, and a test is left."""
    numbers = (folder.with_name(f"{folder.name}-stopped-{number}") for number in count(1))
    folder.rename(next(name for name in numbers if not name.exists()))


def explain_failure(job: Job, code: int) -> str:
    """Return the last lines of a failed job's log and the command to repeat it."""
    lines = job.log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if job.log.is_file() else []
    tail = "\n".join(f"    {line}" for line in lines[-4:])
    reason = f"signal {-code}" if code < 0 else f"exit code {code}"
    return f"{job.cell.name} failed ({reason}), see {job.log}\n{tail}\n    again: {shlex.join(job.command)}"


def find_holder(cell: Cell, action: str, settings: RunnerSettings) -> str | None:
    """Return who is at work on a cell, or None."""
    return lease.holder(settings.leases, lease_name(cell, action))


def _environment() -> dict[str, str]:
    """Return the environment of a job: its runner writes the site, once.

    Without a name of a SLURM job, Lightning waits for other tasks of its srun.
    """
    return os.environ | {"LINEAGE_SITE": "no"} | ({"SLURM_JOB_NAME": "bash"} if "SLURM_JOB_ID" in os.environ else {})
