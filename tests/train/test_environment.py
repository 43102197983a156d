"""The memory that an entry records, against what the kernel says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HOLD = """
import re
from pathlib import Path
import torch
from lineage.train.environment import get_peak_memory
held = torch.ones(300 << 20, dtype=torch.uint8)
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
print(get_peak_memory(torch.device("cpu")), peak)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="VmHWM is of Linux")
def test_peak_memory_is_in_bytes() -> None:
    run = subprocess.run([sys.executable, "-c", HOLD], capture_output=True, text=True, check=True)
    ours, kernel = map(int, run.stdout.split())
    assert ours > 300 << 20
    assert ours == pytest.approx(kernel, rel=0.02)
