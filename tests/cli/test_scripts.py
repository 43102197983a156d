"""The scripts of the checkout, started by a Python that lineage is not installed for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("script", ["train.py", "predict.py"])
def test_a_python_without_lineage_is_told_of_the_environment(script: str) -> None:
    run = subprocess.run([sys.executable, "-S", script, "--help"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 1
    assert "source .venv/bin/activate" in run.stderr
    assert "Traceback" not in run.stderr
