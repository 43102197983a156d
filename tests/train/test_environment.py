"""The memory that an entry records is that of this process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HELD = 600 << 20  # bytes
HOLD = f"""
import torch
from lineage.train.environment import get_peak_memory
before = get_peak_memory(torch.device("cpu"))
held = torch.ones({HELD}, dtype=torch.uint8)
during = get_peak_memory(torch.device("cpu"))
del held
print(before, during, get_peak_memory(torch.device("cpu")))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="elsewhere the peak begins at that of the parent")
def test_peak_memory_is_that_of_this_process_in_bytes() -> None:
    of_the_parent = bytearray(1500 << 20)
    of_the_parent[:: 1 << 12] = b"1" * (len(of_the_parent) >> 12)
    run = subprocess.run([sys.executable, "-c", HOLD], capture_output=True, text=True, check=True)
    before, during, after = map(int, run.stdout.split())
    assert during - before == pytest.approx(HELD, rel=0.02)
    assert after == pytest.approx(during, rel=0.02)
    assert during < len(of_the_parent)
