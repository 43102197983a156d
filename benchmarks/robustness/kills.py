"""kill -9 of running trainings, at system calls and at random moments; each is resumed and compared bit for bit.

Three kinds of training: one process, DDP of two, two `lineage run` side by side. The unbroken run of each is traced
once, for the calls to choose from and for its duration. After each kill, what a user would type is typed until the run
is finished: `resume=`, or the same command. Then weights, metrics, curves, detections and digests equal the unbroken
run's, each cell has one finished entry, and every entry in the store is whole.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.robustness.report import write_section
from benchmarks.robustness.system_calls import (
    SystemCall,
    choose,
    describe_death,
    kill_command,
    list_calls,
    record_command,
)
from benchmarks.robustness.trainings import TINY, TWO, Process, Runners, Training, compare

SCENARIOS: tuple[Training | Runners, ...] = (
    Training("one process", TINY),
    Training("DDP of two", (*TINY, *TWO)),
    Runners("two `lineage run`"),
)
AT_CALLS = (56, 8, 6)  # kills of each scenario at system calls; one process changes files by 78 kinds of call
AT_MOMENTS = (26, 8, 6)  # kills of each scenario at random moments
TRIES = 4  # commands after a kill
SECONDS = 600.0  # for each; one that takes longer hangs


@dataclass(frozen=True, slots=True)
class Whole:
    """An unbroken training."""

    folder: Path
    calls: list[SystemCall]
    seconds: float  # from its first file to its end


@dataclass(frozen=True, slots=True)
class Outcome:
    scenario: str
    kind: str  # "call" or "moment"
    place: str
    faults: list[str]  # empty: all as in the unbroken training


def run_whole(scenario: Training | Runners, folder: Path) -> Whole:
    """Run a training to its end, and a second time under strace, which must give the same.

    The first one fills the caches: under strace it would count calls that the runs to kill do not make.
    """
    traced, timed, seconds = folder / "traced", folder / "whole", 0.0
    for place, words in ((timed, []), (traced, record_command(folder / "calls"))):
        scenario.prepare(place)
        processes = scenario.start(place, words)
        wait_for_begin(scenario, place, processes)
        begun = time.monotonic()
        wait(processes)
        seconds = seconds or time.monotonic() - begun
    faults = compare(traced, timed)
    if faults:
        raise RuntimeError(f"{scenario.name}: two unbroken trainings differ: {faults}\n{read_log(timed)}")
    return Whole(timed, list_calls(folder / "calls", traced), seconds)


def kill_at_call(scenario: Training | Runners, whole: Whole, call: SystemCall, folder: Path) -> Outcome:
    """Kill a training as it enters a call, let it go on, and compare."""
    scenario.prepare(folder)
    trace = folder.with_suffix(".calls")
    wait(scenario.start(folder, kill_command(call, trace)))
    place = describe_death(trace, folder)
    return Outcome(scenario.name, "call", place, finish(scenario, whole, folder))


def kill_at_moment(scenario: Training | Runners, whole: Whole, chance: random.Random, folder: Path) -> Outcome:
    """Kill a process of a training at a random moment after its beginning, let it go on, and compare."""
    moment, share = chance.random(), chance.random()
    scenario.prepare(folder)
    processes = scenario.start(folder)
    wait_for_begin(scenario, folder, processes)
    time.sleep(moment * whole.seconds)
    living = [process.pid for process in processes if process.poll() is None]
    victims = [pid for first in living for pid in (first, *list_descendants(first))]
    if victims:
        kill(victims[int(share * len(victims))])
    wait(processes)
    place = f"{moment:.0%} of {whole.seconds:.0f} s" if victims else "after its end"
    return Outcome(scenario.name, "moment", place, finish(scenario, whole, folder))


def finish(scenario: Training | Runners, whole: Whole, folder: Path) -> list[str]:
    """Run what a user types until the training is done; return what is otherwise than in the unbroken one."""
    for _ in range(TRIES):
        if scenario.is_done(folder):
            break
        if not wait(scenario.start(folder)):
            return [f"a command took longer than {SECONDS:.0f} s"]
    if not scenario.is_done(folder):
        return [f"not finished after {TRIES} commands: {read_log(folder)}"]
    return compare(folder, whole.folder) + find_tracebacks(folder)


def find_tracebacks(folder: Path) -> list[str]:
    """Return a fault if a command printed a traceback."""
    return [f"a traceback: {read_log(folder)}"] if "Traceback (most recent" in (folder / "log").read_text() else []


def wait_for_begin(scenario: Training | Runners, folder: Path, processes: Sequence[Process]) -> None:
    while not scenario.has_begun(folder) and any(process.poll() is None for process in processes):
        time.sleep(0.02)


def wait(processes: Sequence[Process]) -> bool:
    """Wait until all have ended; kill those that do not, and return whether all did."""
    until = time.monotonic() + SECONDS
    for process in processes:
        try:
            process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            for other in processes:
                os.killpg(other.pid, signal.SIGKILL)
            return False
    return True


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def list_descendants(pid: int) -> list[int]:
    """Return the ids of all processes that descend from a process."""
    try:
        children = [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return [descendant for child in children for descendant in (child, *list_descendants(child))]


def read_log(folder: Path) -> str:
    """Return the last lines that the commands of a training printed."""
    return "\n".join((folder / "log").read_text(errors="replace").splitlines()[-12:])


def run_scenario(
    scenario: Training | Runners, counts: tuple[int, int], root: Path, seed: int, jobs: int = 1
) -> Iterator[Outcome]:
    """Kill as many trainings at system calls, and at moments, `jobs` at a time."""
    root.mkdir()
    whole = run_whole(scenario, root)
    print(f"{scenario.name}: {len(whole.calls)} calls change files, {whole.seconds:.0f} s", flush=True)

    def attempt(number: int) -> Outcome:
        folder = root / f"{number:03d}"
        if number < len(calls):
            outcome = kill_at_call(scenario, whole, calls[number], folder)
        else:
            outcome = kill_at_moment(scenario, whole, random.Random(f"{seed} {scenario.name} {number}"), folder)
        print(f"{scenario.name} {number}: {outcome.kind} {outcome.place}: {outcome.faults or 'equal'}", flush=True)
        if not outcome.faults:
            shutil.rmtree(folder)
        return outcome

    calls = choose(whole.calls, counts[0])
    with ThreadPoolExecutor(jobs) as pool:
        try:
            yield from pool.map(attempt, range(len(calls) + counts[1]))
        finally:
            pool.shutdown(cancel_futures=True)


def describe(outcomes: list[Outcome]) -> list[str]:
    """Return the table of the report, and the places of the kills."""
    lines = ["| training | kills at | resumed, equal bit for bit | otherwise |", "| --- | --- | ---: | --- |"]
    groups = dict.fromkeys((outcome.scenario, outcome.kind) for outcome in outcomes)
    for scenario, kind in groups:
        part = [outcome for outcome in outcomes if (outcome.scenario, outcome.kind) == (scenario, kind)]
        faults = [f"{outcome.place}: {'; '.join(outcome.faults)}" for outcome in part if outcome.faults]
        title = "system calls" if kind == "call" else "random moments"
        text = " / ".join(faults).replace("\n", " ").replace("|", "\\|")[:1000] or "none"
        lines.append(f"| {scenario} | {title} | {len(part) - len(faults)} of {len(part)} | {text} |")
    places = Counter(outcome.place for outcome in outcomes if outcome.kind == "call")
    lines += ["", "The calls: " + ", ".join(f"`{place}`" + (f" x{n}" if n > 1 else "") for place, n in places.items())]
    return lines


def main(
    at_calls: Sequence[int] = AT_CALLS, at_moments: Sequence[int] = AT_MOMENTS, seed: int = 0, jobs: int = 1
) -> bool:
    """Kill, write the section of the report, and return whether all trainings were resumed and equal.

    At Ctrl-C the section is of those trainings that were done.
    """
    if shutil.which("strace") is None:
        raise SystemExit("strace is not installed; on Debian: apt-get install strace")
    began = time.monotonic()
    root = Path(tempfile.mkdtemp(prefix="kills-"))
    outcomes: list[Outcome] = []
    with suppress(KeyboardInterrupt):
        for number, (scenario, *counts) in enumerate(zip(SCENARIOS, at_calls, at_moments, strict=True)):
            for outcome in run_scenario(scenario, (counts[0], counts[1]), root / str(number), seed, jobs):
                outcomes.append(outcome)
    is_equal = not any(outcome.faults for outcome in outcomes)
    head = f"{len(outcomes)} trainings, {(time.monotonic() - began) / 60:.0f} minutes, seed {seed}, {jobs} at a time."
    write_section("Kills", [head, "", *describe(outcomes)], "python -m benchmarks.robustness kills")
    if is_equal:
        shutil.rmtree(root)
    else:
        print(f"the folders of those that are not equal: {root}")
    return is_equal
