"""Processes of a sweep, a number of them at a time, each on a GPU of its own if there are several."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from lineage.launch.child_process import end_with_parent

log = logging.getLogger("hydra_plugins.lineage.processes")

POLL = 0.2  # seconds
ENDS_WITH_US = partial(end_with_parent, signal.SIGTERM)
VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True, slots=True)
class JobProcess:
    name: str
    description: str
    command: Sequence[str]


@dataclass(slots=True)
class _Slot:
    """A place for one process: its GPU, or None for all of them."""

    device: str | None
    index: int = -1  # of the job that runs there
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0


def run_jobs(jobs: Sequence[JobProcess], at_a_time: int, devices: Sequence[str]) -> list[int]:
    """Return the exit codes of jobs. With several at a time each gets one of the `devices`, in turn.

    Ctrl-C reaches the jobs too: they get the time to write their entries, then the sweep stops. A sweep that is killed
    takes its jobs along.
    """
    at_a_time = max(1, at_a_time)
    slots = [_Slot(devices[i % len(devices)] if devices and at_a_time > 1 else None) for i in range(at_a_time)]
    codes: dict[int, int] = {}
    pending = list(range(len(jobs)))
    try:
        while len(codes) < len(jobs):
            for slot in slots:
                if slot.process is None and pending:
                    _start(slot, pending.pop(0), jobs)
            time.sleep(POLL)
            for slot in slots:
                if slot.process is not None and slot.process.poll() is not None:
                    codes[slot.index] = _finish(slot, jobs[slot.index])
    except KeyboardInterrupt:
        for slot in slots:
            if slot.process is not None:
                slot.process.wait()
        raise
    return [codes[index] for index in range(len(jobs))]


def _start(slot: _Slot, index: int, jobs: Sequence[JobProcess]) -> None:
    job = jobs[index]
    log.info(f"{job.name}: {job.description}" + (f"  (GPU {slot.device})" if slot.device else ""))
    environment = os.environ | ({VISIBLE: slot.device} if slot.device else {})
    before_start = ENDS_WITH_US if os.name == "posix" else None
    slot.index, slot.started = index, time.monotonic()
    slot.process = subprocess.Popen(job.command, env=environment, preexec_fn=before_start)


def _finish(slot: _Slot, job: JobProcess) -> int:
    assert slot.process is not None
    code, slot.process = slot.process.returncode, None
    log.info(f"{job.name} {'FAILED' if code else 'finished'} after {time.monotonic() - slot.started:.0f} s")
    return code


def list_devices() -> list[str]:
    """Return the GPUs that jobs may use, e.g. ["0", "1"]: those of CUDA_VISIBLE_DEVICES, else all of the machine."""
    if visible := os.environ.get(VISIBLE):
        return [name.strip() for name in visible.split(",") if name.strip()]
    if VISIBLE in os.environ or shutil.which("nvidia-smi") is None:
        return []
    try:
        query = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
        return subprocess.run(query, capture_output=True, text=True, check=True, timeout=10).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return []
