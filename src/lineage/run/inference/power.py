"""Power of this machine while something runs: read from the processor (RAPL), the board (hwmon) or the GPU's driver.

Virtual machines and most containers show none of them.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from functools import partial
from itertools import chain
from pathlib import Path

import torch

MICRO = 1e-6
UNREADABLE = "not readable on this machine: no RAPL, hwmon or nvidia-smi"


class PowerMeter:
    """Average watts between `start` and `stop`, or None; `source` names what was read.

    sys: the folder of the kernel's files
    """

    def __init__(self, device: torch.device, sys: Path = Path("/sys"), clock: Callable[[], float] = time.monotonic):
        self.clock = clock
        self._read_joules: Callable[[], float] | None = None  # a counter that rises, and wraps at `_range`
        self._read_watts: Callable[[], float] | None = None  # at this moment
        self._range, self._began, self._first = 0.0, 0.0, 0.0
        self.source = self._choose(device, sys)

    def _choose(self, device: torch.device, sys: Path) -> str:
        """Choose what is read, and return its name."""
        if device.type == "cuda":
            if read_gpu_watts(device) is None:
                return "not readable: nvidia-smi shows no power"
            self._read_watts = lambda: read_gpu_watts(device) or 0.0
            return "nvidia-smi power.draw at the end"
        for counter in sorted(sys.glob("class/powercap/intel-rapl:[0-9]*/energy_uj")):
            if counter.parent.name.count(":") == 1 and _read_number(counter) is not None:
                self._read_joules = partial(_read_micro, counter)
                self._range = _read_micro(counter.with_name("max_energy_range_uj"))
                return f"RAPL {counter.parent.name}"
        boards = [sorted(sys.glob(f"class/hwmon/hwmon*/power*_{kind}")) for kind in ("average", "input")]
        for file in chain(*boards):
            if _read_number(file) is not None:
                self._read_watts = partial(_read_micro, file)
                return f"hwmon {file.parent.name}/{file.name} at the end"
        return UNREADABLE

    def start(self) -> None:
        self._began = self.clock()
        self._first = self._read_joules() if self._read_joules else 0.0

    def stop(self) -> float | None:
        if self._read_watts:
            return self._read_watts()
        if self._read_joules is None:
            return None
        seconds, joules = self.clock() - self._began, self._read_joules() - self._first
        if joules < 0:  # the counter began again
            joules += self._range
        return joules / seconds if seconds > 0 else None


def read_gpu_watts(device: torch.device) -> float | None:
    command = ["nvidia-smi", f"--id={device.index or 0}", "--query-gpu=power.draw", "--format=csv,noheader,nounits"]
    try:
        return float(subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def _read_micro(file: Path) -> float:
    """Return the number in a file in its unit, of which the file holds millionths; 0 if it cannot be read."""
    return MICRO * (_read_number(file) or 0.0)


def _read_number(file: Path) -> float | None:
    try:
        return float(file.read_text())
    except (OSError, ValueError):  # RAPL is for root alone on most machines
        return None
