from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux does it")

PARENT = """
import signal, subprocess
from functools import partial
from lineage.launch.child_process import end_with_parent
subprocess.Popen(["sh", "-c", "echo $$; exec sleep 60"], preexec_fn=partial(end_with_parent, signal.SIGTERM)).wait()
"""
SWEEP = """
from lineage.launch.parallel import JobProcess, run_jobs
run_jobs([JobProcess("job 0", "", ["sh", "-c", "echo $$; exec sleep 60"])], at_a_time=1, devices=[])
"""


@pytest.mark.parametrize("script", [PARENT, SWEEP])
def test_a_child_ends_when_its_parent_is_killed(script: str) -> None:
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert _running(child)
    parent.kill()
    parent.wait()
    end = time.monotonic() + 10
    while _running(child) and time.monotonic() < end:
        time.sleep(0.05)
    assert not _running(child)


def _running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
