"""Every Triton kernel passes Triton's compiler and ptxas, on a machine without a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("capability", [pytest.param(80, marks=pytest.mark.slow), 90])
def test_all_kernels_compile_without_a_warning(capability: int, tmp_path: Path) -> None:
    pytest.importorskip("triton", reason="Triton ships with torch on Linux only")
    command = [sys.executable, "-W", "error:::triton", "-m", "tests.ops.compiled_kernels", str(capability)]
    environment = os.environ | {"TRITON_CACHE_DIR": str(tmp_path)}
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "57 kernels compiled" in run.stdout
    assert "Warning" not in run.stderr
