"""Programs that run Triton's kernels on a CPU, in a process of their own: Triton reads the switch when it loads."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def run_interpreted(*arguments: str) -> None:
    """Run Python with these arguments under Triton's interpreter; skip the test if there is no Triton."""
    pytest.importorskip("triton", reason="Triton ships with torch on Linux only")
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    run = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
