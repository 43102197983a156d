"""`lineage run --launcher slurm` on a cluster: the machine that runs the tests has to be one of its nodes."""

from __future__ import annotations

import platform
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from lineage.results import store
from tests.launch import toy

MISSING = "needs SLURM: sbatch, and a controller that answers sinfo and has this machine as a node"


def told(*command: str) -> str:
    """What a command of SLURM prints; nothing where it does not answer."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=20).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def reachable() -> bool:
    return shutil.which("sbatch") is not None and platform.node() in told("sinfo", "-hN", "-o", "%N").split()


pytestmark = [pytest.mark.slow, pytest.mark.skipif(not reachable(), reason=MISSING)]


def test_a_warned_task_goes_on_and_the_next_generation_waits_for_it(tmp_path: Path) -> None:
    root = toy.project(tmp_path)
    handed = toy.runner(root, "tested", "child", "--seeds", "1", "--launcher", "slurm", "--sbatch", "--time=10", nap=2)
    text = handed.communicate(timeout=60)[0]
    first, second = text.partition("handed in: ")[2].partition(";")[0].split(", ")
    try:
        _until(lambda: len(toy.trained(root)) >= 2, text)
        told("scancel", "--batch", "--signal=USR1", f"{first}_0")  # as SLURM does before the time limit
        _until(lambda: "PENDING" in _state(first), text)
        assert "PENDING" in _state(second)
        told("scontrol", "update", f"JobId={first}", "StartTime=now")  # else SLURM lets two minutes pass
        _until(lambda: not told("squeue", "-h", "-j", f"{first},{second}").strip(), text)
    finally:
        told("scancel", first, second)
    logs = "".join(path.read_text() for path in sorted((root / "runs").glob("slurm-*/*.log")))
    assert "the time limit is near: back into the queue" in logs
    assert "go on  paper/table1/align seed 0" in logs
    held = store.contents(root / "results").entries
    assert Counter(entry.row for entry in held) == {"align": 1, "tested": 1, "child": 1}, logs
    assert len(set(toy.trained(root))) == 8
    assert len(toy.trained(root)) <= 9  # at most the step that was cut off is taken again


def test_what_sbatch_refuses_is_told(tmp_path: Path) -> None:
    root = toy.project(tmp_path)
    code, text = toy.run(root, "pool", "--seeds", "1", "--launcher", "slurm", "--sbatch", "--partition=nowhere")
    assert code == 1
    assert "Invalid partition name specified" in text
    assert "Traceback" not in text


def _state(job: str) -> str:
    return told("squeue", "-h", "-j", job, "-o", "%T")


def _until(true: object, said: str, seconds: float = 120.0) -> None:
    assert callable(true)
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, said
        time.sleep(0.2)
