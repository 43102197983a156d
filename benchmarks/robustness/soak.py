"""A long run of a small model: memory, open files and the size of its folder stay flat.

The command is a user's, with a worker that loads; all its processes count. Measured from outside, every few seconds,
after the first fifth of the steps: until then caches fill.
"""

from __future__ import annotations

import os
import signal
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.robustness.report import write_section
from benchmarks.robustness.trainings import start, train_command

PAUSE = 2.0  # seconds between samples
GROWTH = 0.03  # of a median from the first to the last third of the samples; of what is counted, also by one
QUANTITIES = (
    ("memory", "memory, MB", 1e6), ("files", "open descriptors", 1), ("threads", "threads", 1),
    ("shared", "mapped files of /dev/shm", 1), ("folder", "run folder without metrics.csv, MB", 1e6),
)  # fmt: skip
STEPS, EVALUATIONS = 5000, 50


@dataclass(frozen=True, slots=True)
class Sample:
    step: int
    memory: int  # bytes, resident, all processes; shared pages count once
    files: int  # open descriptors, all processes
    threads: int
    folder: int  # bytes in the run folder, without metrics.csv, which has a line per step
    shared: int  # mappings of files in /dev/shm, all processes


def soak(folder: Path, steps: int, evaluations: int, pause: float = PAUSE) -> list[Sample]:
    """Train `steps` steps and return the samples. Raises RuntimeError if the run fails."""
    run = folder / "run"
    options = (
        "model=mask_rcnn", "tier=smoke", "trainer=cpu", f"schedule.steps={steps}", "schedule.images_per_step=2",
        f"schedule.milestones=[{steps - 1}]", f"schedule.evaluate_every={steps // evaluations}", "checkpoint_every=100",
        "dataset.size=[64,64]", "dataset.train.length=64", "dataset.val.length=8", "data.workers=1",
        "trainer.log_every_n_steps=10",
    )  # fmt: skip
    process = start(train_command(folder, *options, f"hydra.run.dir={run}"), folder)
    samples = []
    try:
        while process.poll() is None:
            if sample := take_sample(process.pid, run):
                samples.append(sample)
            time.sleep(pause)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    if process.returncode != 0:
        raise RuntimeError(f"the run ended with code {process.returncode}:\n{(folder / 'log').read_text()[-2000:]}")
    return samples


def take_sample(pid: int, run: Path) -> Sample | None:
    """Return the state of a run in training, or None before its first step and while a process ends."""
    step = read_step(run / "metrics.csv")
    try:
        pids = [pid, *list_children(pid)]
        memory = sum(read_proportional_memory(member) for member in pids)
        files = [os.listdir(f"/proc/{member}/fd") for member in pids]
        threads = sum(len(os.listdir(f"/proc/{member}/task")) for member in pids)
        sizes = [path.stat().st_size for path in run.rglob("*") if path.is_file() and path.name != "metrics.csv"]
        shared = sum(Path(f"/proc/{member}/maps").read_text().count(" /dev/shm/") for member in pids)
    except (OSError, ValueError):
        return None
    return Sample(step, memory, sum(map(len, files)), threads, sum(sizes), shared) if step else None


def read_step(metrics: Path) -> int:
    """Return the last step of metrics.csv; 0 without one."""
    try:
        lines = metrics.read_text(encoding="utf-8").splitlines()
        column = lines[0].split(",").index("step")
        return int(lines[-1].split(",")[column])
    except (OSError, ValueError, IndexError):
        return 0


def list_children(pid: int) -> list[int]:
    """Return the ids of all processes that descend from `pid`."""
    children = [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [descendant for child in children for descendant in (child, *list_children(child))]


def read_proportional_memory(pid: int) -> int:
    """Return the resident bytes of a process, a page of n processes as 1/n."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def judge(samples: list[Sample], steps: int) -> list[tuple[str, str, str, bool]]:
    """Return name, value of the first third, value of the last third, and whether it is flat."""
    steady = [sample for sample in samples if steps / 5 <= sample.step < steps]  # at the end it writes artifacts
    third = len(steady) // 3
    first, last = steady[:third], steady[-third:]

    def median(part: list[Sample], name: str) -> float:
        return statistics.median(getattr(sample, name) for sample in part)

    rows = []
    for name, title, unit in QUANTITIES:
        values = [median(part, name) / unit for part in (first, last)]
        digits = 0 if unit == 1 else 1
        is_flat = values[1] <= values[0] * (1 + GROWTH) + (1 if unit == 1 else 0)
        rows.append((title, *(f"{value:.{digits}f}" for value in values), is_flat))
    return rows


def main(steps: int = STEPS, evaluations: int = EVALUATIONS) -> bool:
    """Soak, write the section of the report, and return whether all is flat."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        samples = soak(Path(folder), steps, evaluations)
        lines = (Path(folder) / "run/metrics.csv").stat().st_size
    rows = judge(samples, steps)
    table = ["| median | first third | last third | flat |", "| --- | ---: | ---: | --- |"]
    table += [f"| {name} | {first} | {last} | {'yes' if flat else '**no**'} |" for name, first, last, flat in rows]
    head = (
        f"{steps:,} steps and {evaluations} evaluations in {time.monotonic() - began:.0f} s, {len(samples)} samples of "
        f"all processes. metrics.csv, one line per logged step, ends at {lines / 1e3:.0f} kB."
    )
    write_section("Soak", [head, "", *table], "python -m benchmarks.robustness soak")
    print("\n".join(table))
    return all(flat for *_, flat in rows)
