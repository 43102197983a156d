"""Each job of a sweep is its own process: `python train.py <the job's overrides>`, one after the other.

Hydra's own launcher runs all jobs in one process. Lightning's DDP starts its other ranks by repeating the command line,
which under `-m` starts the whole sweep again in every rank. A job of its own has a command line without `-m`, its own
GPU memory, and cannot take the sweep down with it.
"""

# No `from __future__ import annotations`: dataclasses would look for this module in sys.modules, where it is put late.
import logging
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus, configure_log
from hydra.errors import CompactHydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from lineage.launch.child_process import end_with_parent
from lineage.results.entry import Entry, EntryError, parse
from lineage.results.overrides import Override
from lineage.results.run_folder import RunFolder
from lineage.tables.own.sweep import SweptRun, render_sweep

log = logging.getLogger(__name__)

ENDS_WITH_US = partial(end_with_parent, signal.SIGTERM)

WITH_VALUE = ("--config-name", "-cn", "--config-path", "-cp", "--config-dir", "-cd")  # flags that choose the config

OF_THE_SWEEP = ("hydra.mode=", "hydra.sweep.", "hydra.sweeper.", "hydra/sweeper", "hydra/launcher")


@dataclass
class ProcessLauncherConf:
    _target_: str = "hydra_plugins.lineage.processes.ProcessLauncher"


ConfigStore.instance().store(group="hydra/launcher", name="process", node=ProcessLauncherConf, provider="lineage")


class SweepError(CompactHydraException):
    """Some jobs failed, or there were none. Hydra prints it without a traceback: the jobs have printed theirs."""


@dataclass(frozen=True)
class Job:
    number: int
    overrides: list[str]
    folder: Path
    command: list[str]


class ProcessLauncher(Launcher):
    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        if not job_overrides:
            raise SweepError(_nothing(list(self.config.hydra.overrides.task)))
        jobs = [self._job(i, list(overrides)) for i, overrides in enumerate(job_overrides, initial_job_idx)]
        log.info(f"{len(jobs)} jobs, each its own process, in {self.config.hydra.sweep.dir}")
        codes = [_run(job) for job in jobs]
        failed = [f"exit code {code}: {shlex.join(job.command)}" for job, code in zip(jobs, codes, strict=True) if code]
        log.info(f"{len(jobs) - len(failed)} of {len(jobs)} jobs finished")
        _print_table(jobs, Path(self.config.hydra.sweep.dir))
        if failed:
            raise SweepError("\n  ".join([f"{len(failed)} of {len(jobs)} jobs failed:", *failed]))
        return [_describe_return(job) for job in jobs]

    def _job(self, number: int, overrides: list[str]) -> Job:
        folder = Path(self.config.hydra.sweep.dir, str(number))
        hydra = [text for text in self.config.hydra.overrides.hydra if not text.startswith(OF_THE_SWEEP)]
        script = [sys.executable, sys.argv[0], *_config_flags(sys.argv[1:])]
        return Job(number, overrides, folder, [*script, *overrides, *hydra, f'hydra.run.dir="{folder}"'])


def _print_table(jobs: Sequence[Job], folder: Path) -> None:
    """Print what the jobs measured: the swept keys as columns, seeds as replicates."""
    table = render_sweep([SweptRun(job.overrides, _read_entry(RunFolder(job.folder).entry)) for job in jobs])
    if table:
        print(f"\n{table}next     lineage new me/sweep --from-runs {folder}")


def _read_entry(path: Path) -> Entry | None:
    """Return what a job wrote about its run; None if it ended before that, or was no run."""
    try:
        return parse(path.read_text(encoding="utf-8"))
    except (OSError, EntryError):
        return None


def _run(job: Job) -> int:
    """The job's exit code. Ctrl-C reaches the job too: it gets the time to write its entry, then the sweep stops.

    A sweep that is killed takes its job along.
    """
    log.info(f"job {job.number}: {' '.join(job.overrides)}")
    started = time.monotonic()
    process = subprocess.Popen(job.command, preexec_fn=ENDS_WITH_US if os.name == "posix" else None)
    try:
        code = process.wait()
    except KeyboardInterrupt:
        process.wait()
        raise
    log.info(f"job {job.number} {'FAILED' if code else 'finished'} after {time.monotonic() - started:.0f} s")
    return code


def _describe_return(job: Job) -> JobReturn:
    """Return what a sweeper reads of a job; its results are entries in the store, not return values."""
    done = JobReturn(overrides=job.overrides, working_dir=str(job.folder), status=JobStatus.COMPLETED)
    done.return_value = None
    return done


def _config_flags(arguments: Sequence[str]) -> list[str]:
    """Return the flags of a command line that a job must repeat to find the same config."""
    flags, pending = [], False
    for text in arguments:
        if pending or text.partition("=")[0] in WITH_VALUE:
            flags.append(text)
        pending = not pending and text in WITH_VALUE
    return flags


def _nothing(overrides: Sequence[str]) -> str:
    """A glob over nothing. Options of `experiment` are paths, which a glob does not enter."""
    lines = ["the sweep selects no job, for a glob matches nothing:"]
    for text in overrides:
        override = Override.parse(text)
        value = override.value or ""
        if value.startswith("glob("):
            lines.append(f"  {text}")
            table, _, pattern = value.removeprefix("glob(").rstrip(")").strip("'\"").rpartition("/")
            if override.name == "experiment" and table:
                lines.append(f"write it as  '+experiment/{table}=glob({pattern})'")
    return "\n".join(lines)
