"""The machine that an entry records: packages, device, and the memory of this process."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from lineage.train import environment

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


def test_a_gpu_is_described_by_its_name_its_memory_and_cudnn(monkeypatch: pytest.MonkeyPatch) -> None:
    device = torch.device("cuda", 1)
    properties = SimpleNamespace(total_memory=85 << 30)
    monkeypatch.setattr(torch.cuda, "get_device_name", {device: "NVIDIA H100"}.__getitem__)
    monkeypatch.setattr(torch.cuda, "get_device_properties", {device: properties}.__getitem__)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", {device: 7 << 30}.__getitem__)
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91002)
    hardware = environment.describe_hardware(device)
    of_the_cpu = environment.describe_hardware(torch.device("cpu"))
    assert of_the_cpu == {
        "device": "CPU", "cpu": environment.read_cpu_name(), "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
    }  # fmt: skip
    assert hardware == of_the_cpu | {"device": "NVIDIA H100", "device_memory": 85 << 30, "cudnn": 91002}
    assert environment.get_peak_memory(device) == 7 << 30


@pytest.mark.parametrize(("system", "unit"), [("linux", 1024), ("darwin", 1)])
def test_without_proc_the_kernel_s_peak_counts_in_its_unit(
    monkeypatch: pytest.MonkeyPatch, system: str, unit: int
) -> None:
    """ru_maxrss is in KiB on Linux and in bytes on macOS."""
    usage = SimpleNamespace(ru_maxrss=5000)
    monkeypatch.setattr(environment, "Path", lambda path: Path("/absent"))
    monkeypatch.setattr(environment, "resource", SimpleNamespace(RUSAGE_SELF=0, getrusage={0: usage}.__getitem__))
    monkeypatch.setattr(environment, "sys", SimpleNamespace(platform=system))
    assert environment.get_peak_memory(torch.device("cpu")) == 5000 * unit
    monkeypatch.setattr(environment, "platform", SimpleNamespace(processor=lambda: "", machine=lambda: "arm64"))
    assert environment.read_cpu_name() == "arm64"


def test_the_name_of_a_cpu_is_what_its_system_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nmodel name\t: AMD EPYC: 7B13\nprocessor\t: 1\nmodel name\t: other\n")
    monkeypatch.setattr(environment, "Path", lambda path: info)
    assert environment.read_cpu_name() == "AMD EPYC: 7B13"
    info.write_text("processor\t: 0\n")
    monkeypatch.setattr(environment, "platform", SimpleNamespace(processor=lambda: "arm", machine=lambda: "arm64"))
    assert environment.read_cpu_name() == "arm"


def test_versions_are_those_of_the_packages_and_of_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    for version, name in (("12.8", "12.8"), (None, "none")):
        monkeypatch.setattr(torch.version, "cuda", version)
        versions = environment.read_package_versions()
        assert versions["cuda"] == name
    assert versions["python"] == platform.python_version()
    assert versions["torch"] == metadata.version("torch")
    assert {"hotcoco", "pycocotools", "pillow", "numpy", "torchvision"} < versions.keys()
