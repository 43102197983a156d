"""Each job of a sweep is its own process: `python train.py <the job's overrides>`, `hydra.launcher.jobs` at a time.

Hydra's own launcher runs all jobs in one process. Lightning's DDP starts its other ranks by repeating the command line,
which under `-m` starts the whole sweep again in every rank. A job of its own has a command line without `-m`, its own
GPU memory, and cannot take the sweep down with it. Of several jobs at a time each has one GPU, if there are any.

A sweeper that searches (Optuna, Ax, Nevergrad) gets the metric `optimize` of each job's entry as its return value.
"""

# No `from __future__ import annotations`: dataclasses would look for this module in sys.modules, where it is put late.
import logging
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus, configure_log
from hydra.errors import CompactHydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from lineage.launch.parallel import JobProcess, list_devices, run_jobs
from lineage.results.count_noun import count_noun
from lineage.results.entry import Entry, EntryError, parse
from lineage.results.overrides import Override
from lineage.results.paths import from_here
from lineage.results.run_folder import RunFolder
from lineage.tables.own.sweep import SweptRun, render_sweep

log = logging.getLogger(__name__)

WITH_VALUE = ("--config-name", "-cn", "--config-path", "-cp", "--config-dir", "-cd")  # flags that choose the config

OF_THE_SWEEP = ("hydra.mode=", "hydra.sweep.", "hydra.sweeper.", "hydra/sweeper", "hydra/launcher")


@dataclass
class ProcessLauncherConf:
    _target_: str = "hydra_plugins.lineage.processes.ProcessLauncher"
    jobs: int = 1  # at a time


ConfigStore.instance().store(group="hydra/launcher", name="process", node=ProcessLauncherConf, provider="lineage")


class SweepError(CompactHydraException):
    """Some jobs failed, or there were none. Hydra prints it without a traceback: the jobs have printed theirs."""


@dataclass(frozen=True)
class Job:
    number: int
    overrides: list[str]
    folder: Path
    command: list[str]

    def process(self) -> JobProcess:
        return JobProcess(f"job {self.number}", " ".join(self.overrides), self.command)


class ProcessLauncher(Launcher):
    def __init__(self, jobs: int = 1) -> None:
        self.jobs = jobs
        self.best: tuple[float, str, str] | None = None  # value, entry and overrides of a search so far

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        if not job_overrides:
            raise SweepError(_nothing(list(self.config.hydra.overrides.task)))
        jobs = [self._job(i, list(overrides)) for i, overrides in enumerate(job_overrides, initial_job_idx)]
        log.info(f"{count_noun(len(jobs), 'job')}, each its own process, in {self.config.hydra.sweep.dir}")
        codes = run_jobs([job.process() for job in jobs], self.jobs, list_devices())
        failed = [f"exit code {code}: {shlex.join(job.command)}" for job, code in zip(jobs, codes, strict=True) if code]
        log.info(f"{len(jobs) - len(failed)} of {len(jobs)} jobs finished")
        _print_table(jobs, Path(self.config.hydra.sweep.dir))
        metric = self.config.get("optimize")
        self._print_best(jobs, metric)
        if failed and metric is None:
            raise SweepError("\n  ".join([f"{len(failed)} of {len(jobs)} jobs failed:", *failed]))
        return [_describe_return(job, metric) for job in jobs]

    def _print_best(self, jobs: Sequence[Job], metric: str | None) -> None:
        """Print the best entry of a search so far, and what its job chose."""
        for job in jobs:
            entry = _read_entry(RunFolder(job.folder).entry)
            value = entry.metrics.get(metric or "") if entry is not None and entry.status == "finished" else None
            if entry is not None and value is not None and (self.best is None or value > self.best[0]):
                self.best = (value, entry.id, " ".join(job.overrides))
        if self.best is not None:
            value, name, choices = self.best
            print(f"best     {metric} {value:.2f}, entry {name}: {choices}", flush=True)

    def _job(self, number: int, overrides: list[str]) -> Job:
        folder = Path(self.config.hydra.sweep.dir, str(number))
        hydra = [text for text in self.config.hydra.overrides.hydra if not text.startswith(OF_THE_SWEEP)]
        script = [sys.executable, sys.argv[0], *_config_flags(sys.argv[1:])]
        return Job(number, overrides, folder, [*script, *overrides, *hydra, f'hydra.run.dir="{folder}"'])


def _print_table(jobs: Sequence[Job], folder: Path) -> None:
    """Print what the jobs measured: the swept keys as columns, seeds as replicates."""
    table = render_sweep([SweptRun(job.overrides, _read_entry(RunFolder(job.folder).entry)) for job in jobs])
    if table:
        print(f"\n{table}{_suggest_table(jobs, folder)}", end="")


def _suggest_table(jobs: Sequence[Job], folder: Path) -> str:
    """Return the line with the command that makes a table of a sweep; "" if seeds alone vary: there is none of them."""
    swept = {tuple(text for text in job.overrides if Override.parse(text).key != "seed") for job in jobs}
    command = shlex.join(["lineage", "new", "me/sweep", "--from-runs", str(from_here(folder))])
    return f"next     {command}\n" if len(swept) > 1 else ""


def _read_entry(path: Path) -> Entry | None:
    """Return what a job wrote about its run; None if it ended before that, or was no run."""
    try:
        return parse(path.read_text(encoding="utf-8"))
    except (OSError, EntryError):
        return None


def _describe_return(job: Job, metric: str | None) -> JobReturn:
    """Return what a sweeper reads of a job: the metric of its entry, or the reason why there is none."""
    done = JobReturn(overrides=job.overrides, working_dir=str(job.folder), status=JobStatus.COMPLETED)
    done.return_value = None
    if metric is None:
        return done
    entry = _read_entry(RunFolder(job.folder).entry)
    value = entry.metrics.get(metric) if entry is not None and entry.status == "finished" else None
    if value is None:
        done.status, done.return_value = JobStatus.FAILED, SweepError(_explain_absence(job, entry, metric))
    else:
        done.return_value = value
    return done


def _explain_absence(job: Job, entry: Entry | None, metric: str) -> str:
    if entry is None:
        return f"job {job.number} left no entry in {job.folder}"
    if entry.status != "finished":
        return f"job {job.number} {entry.status}: {entry.error}"
    return f"optimize={metric}: job {job.number} measured {', '.join(entry.metrics) or 'nothing'}"


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
