"""Packages, hardware and memory of a run, recorded in its entry because numbers of machines differ."""

from __future__ import annotations

import os
import platform
import re
import resource
import sys
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("torch", "torchvision", "pytorch-lightning", "hydra-core", "numpy", "pillow", "pycocotools", "hotcoco")


def read_package_versions() -> dict[str, str]:
    """Return the versions of Python, CUDA and the packages that results depend on."""
    installed = {name: metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version(), **installed, "cuda": torch.version.cuda or "none"}


def describe_hardware(device: torch.device) -> dict[str, Any]:
    """Return device, CPU, cores, threads and, for a GPU, its memory in bytes and cuDNN."""
    hardware: dict[str, Any] = {
        "device": get_device_name(device),
        "cpu": read_cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
    }
    if device.type == "cuda":
        hardware["device_memory"] = torch.cuda.get_device_properties(device).total_memory
        hardware["cudnn"] = torch.backends.cudnn.version()
    return hardware


def get_device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper()


def read_cpu_name() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def get_peak_memory(device: torch.device) -> int:
    """Return the peak memory in bytes: allocated on the GPU, or resident in this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    with suppress(OSError):
        status = Path("/proc/self/status").read_text()
        if match := re.search(r"VmHWM:\s+(\d+) kB", status):
            return int(match[1]) * 1024  # ru_maxrss begins at the peak of the process that started this one
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return resident if sys.platform == "darwin" else resident * 1024
