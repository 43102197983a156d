"""Damaged and hostile inputs of every kind that lineage reads: each is refused with a message, or read as it is.

A kind of input is a class with a good example, a way to damage it, and `read`, which reads it as a command does. What
it accepts it compares with what another reader (pycocotools, torch, safetensors, ElementTree, PyYAML, Hydra) makes of
the same bytes, and raises Wrong if they differ. A message is an error of lineage, which commands print without a
traceback. Each kind runs in a process of its own, which a crash of a library would end.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any, Protocol

from benchmarks.robustness.report import ROOT, write_section

KINDS = {
    "entries": "documents:Entries", "tables": "documents:Tables", "results": "documents:Results",
    "coco": "datasets:Coco", "voc": "datasets:Voc", "cityscapes": "datasets:Cityscapes",
    "weights": "weights:Weights", "overrides": "overrides:Overrides", "deepfashion2": "garments:DeepFashion2",
    "videos": "videos:Videos", "clips": "videos:Clips", "claims": "plans:Claims", "cells": "plans:Cells",
    "rows": "calibrations:Rows", "calibrations": "calibrations:Calibrations", "exports": "exports:Exports",
    "labels": "labels:Labels", "foreign": "foreign:Foreign",
    "run folders": "run_folders:RunFolders",
}  # fmt: skip
COUNT = 200
SECONDS = 30  # of CPU, after which an input hangs
PATIENCE = 10  # times as many seconds of a process that waits
MEMORY = 12 << 30  # bytes of address space; torch alone maps some


class Wrong(Exception):
    """An input that was accepted and read as something that it is not."""


class Refused(Exception):
    """An input that was refused by a message that no exception carries, such as a list of damaged entries."""


class Kind(Protocol):
    """One kind of input."""

    def damage(self, chance: random.Random) -> bytes:
        """Return a damaged input."""

    def read(self, data: bytes) -> None:
        """Read it as a command does, and raise Wrong if what was read is not what the input says."""


def make_kind(name: str, folder: Path) -> Kind:
    module, _, kind = KINDS[name].partition(":")
    made: Kind = getattr(import_module(f"benchmarks.robustness.{module}"), kind)(folder)
    return made


def fuzz(name: str, count: int, folder: Path, seed: int = 0) -> Iterator[tuple[str, str, bytes]]:
    """Yield what became of each input: "refused", "accepted" or a fault, with the message, and the input."""
    kind = make_kind(name, folder)
    for number in range(count):
        data = kind.damage(random.Random(f"{seed} {name} {number}"))
        yield (*attempt(kind, data, SECONDS), data)


def attempt(kind: Kind, data: bytes, seconds: int) -> tuple[str, str]:
    """Read one input, and return what became of it."""
    began = time.monotonic()
    try:
        with end_after(seconds), redirect_stdout(StringIO()), redirect_stderr(StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kind.read(data)
    except Wrong as error:
        return "wrong", str(error)
    except TimeoutError:
        return "hang", f"over {seconds} s"
    except SystemExit as error:  # of argparse and of the friendly errors of Hydra: the message is on the terminal
        return "refused", str(error)
    except Exception as error:
        if isinstance(error, Refused) or is_message(error):
            return "refused", str(error)
        return "traceback", "".join(traceback.format_exception(error)[-3:])
    return "accepted", f"{time.monotonic() - began:.1f} s"


def is_message(error: Exception) -> bool:
    """Return whether commands print this error as a message: the rule of cli/main.py and of train.py."""
    from lineage.config.friendly_errors import is_user_error

    return type(error).__module__.startswith("lineage.") or is_user_error(error)


@contextmanager
def end_after(seconds: int) -> Iterator[None]:
    """Raise TimeoutError after as many seconds of this process's CPU, or PATIENCE times as many by the clock.

    On a loaded machine a second of the clock may hold little of the CPU.
    """
    cpu, clock = time.process_time() + seconds, time.monotonic() + PATIENCE * seconds

    def end(*_: Any) -> None:
        if time.process_time() >= cpu or time.monotonic() >= clock:
            raise TimeoutError
        signal.alarm(1)

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def run_kind(name: str, count: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Fuzz one kind in a process of its own; return how often what became of inputs, and the faults."""
    with tempfile.TemporaryDirectory(prefix=f"fuzz-{name}-") as folder:
        command = [sys.executable, "-m", "benchmarks.robustness.fuzz", name, str(count), str(seed), folder]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "LINEAGE_CACHE": f"{folder}/cache", "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    counts = Counter(line["outcome"] for line in lines)
    faults = [f"{line['number']} {line['outcome']}: {line['message']}" for line in lines if is_fault(line["outcome"])]
    if done.returncode or len(lines) < count:
        counts["crash"] += 1
        faults.append(f"{len(lines)}: the process ended with code {done.returncode}: {done.stderr[-500:]}")
    return counts, faults


def is_fault(outcome: str) -> bool:
    return outcome not in ("refused", "accepted")


def print_outcomes(name: str, count: int, seed: int, folder: Path) -> None:
    """Fuzz one kind in this process, and print a line of JSON for each input."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for number, (outcome, message, _) in enumerate(fuzz(name, count, folder, seed)):
        print(json.dumps({"number": number, "outcome": outcome, "message": message[-1500:]}), flush=True)


def main(count: int = COUNT, seed: int = 0, jobs: int = 1) -> bool:
    """Fuzz all kinds, `jobs` at a time, write the section of the report, and return whether there was no fault."""
    began = time.monotonic()
    lines = ["| input | tried | refused | read as others read it | faults |", "| --- | ---: | ---: | ---: | ---: |"]
    every_fault = []
    with ThreadPoolExecutor(jobs) as pool:
        for name, (counts, faults) in zip(
            KINDS, pool.map(lambda name: run_kind(name, count, seed), KINDS), strict=True
        ):
            lines.append(f"| {name} | {count} | {counts['refused']} | {counts['accepted']} | {len(faults)} |")
            every_fault += [f"{name} {fault}" for fault in faults]
            print(f"{name}: {dict(counts)}", *faults, sep="\n", flush=True)
    minutes = (time.monotonic() - began) / 60
    head = f"{count} inputs of each kind, seed {seed}, {minutes:.0f} minutes; none may take {SECONDS} s of CPU."
    faults_text = [f"- {fault[:300].splitlines()[-1]}" for fault in every_fault[:20]]
    write_section("Fuzz", [head, "", *lines, "", *faults_text], "python -m benchmarks.robustness fuzz")
    return not every_fault


if __name__ == "__main__":
    from benchmarks.robustness.fuzz import print_outcomes  # not of __main__, whose exceptions are others

    print_outcomes(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
