"""Checks of this installation: Python, torch with torchvision, Hydra, Lightning, and the versions of the lock file."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata

from lineage.results.paths import ROOT

MALWARE = ("2.6.2", "2.6.3")


@dataclass(frozen=True, slots=True)
class CheckResult:
    state: str  # ok | warn | bad
    text: str
    fix: str = ""


def check_python() -> CheckResult:
    version = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info[:2] < (3, 14):
        return CheckResult("ok", f"{version} in {sys.prefix}")
    fix = "use Python 3.11 to 3.13 (Hydra 1.3 does not start on 3.14): make setup PYTHON=python3.12"
    return CheckResult("bad", version, fix)


def check_torch() -> CheckResult:
    """Call a compiled torchvision operator: it fails if torch is a CPU build and torchvision a CUDA build."""
    try:
        import torch
        import torchvision

        torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    except Exception as error:
        first = (str(error) or type(error).__name__).splitlines()[0]
        return CheckResult("bad", first, "torch and torchvision must be builds of one release and device: make setup")
    return CheckResult("ok", f"torch {torch.__version__}, torchvision {torchvision.__version__}")


def check_hydra() -> CheckResult:
    versions = {name: metadata.version(name) for name in ("hydra-core", "omegaconf")}
    text = ", ".join(f"{name} {version}" for name, version in versions.items())
    if (1, 3, 8) <= _parse_version(versions["hydra-core"]) < (1, 4) and _parse_version(versions["omegaconf"]) < (2, 4):
        return CheckResult("ok", text)
    return CheckResult("bad", text, "the config plugins are written for hydra-core 1.3 from 1.3.8 on: make setup")


def check_lightning() -> CheckResult:
    versions = {name: _version(name) for name in ("pytorch-lightning", "lightning")}
    text = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    if any(version in MALWARE for version in versions.values()):
        fix = "uninstall it, change every password and key this machine knew, then make setup"
        return CheckResult("bad", f"{text} was published by an attacker", fix)
    if not versions["pytorch-lightning"]:
        return CheckResult("bad", "pytorch-lightning is not installed", "make setup")
    if _parse_version(versions["pytorch-lightning"]) < (2, 6, 6):
        return CheckResult("warn", text, "before 2.6.6 a stranger's checkpoint can run code: make setup")
    return CheckResult("ok", text)


def check_packages() -> CheckResult:
    lock = ROOT / "requirements.lock"
    if not lock.is_file():
        return CheckResult(
            "warn", "no requirements.lock beside this package", "run from a checkout to compare with what is pinned"
        )
    differing = compare_with_lock(lock.read_text(), _version)
    if not differing:
        return CheckResult("ok", "as requirements.lock says")
    text = ", ".join(differing[:4]) + (f" and {len(differing) - 4} more" if len(differing) > 4 else "")
    return CheckResult("warn", text, "make setup; numbers from other versions are comparable only roughly")


def compare_with_lock(lock: str, version: Callable[[str], str | None]) -> list[str]:
    """Return `NAME VERSION, lock has VERSION` of each package that differs; a name may be pinned once per marker."""
    pins: dict[str, list[str]] = {}
    everywhere = set()
    for name, want, marker in re.findall(r"^([\w.-]+)==([^\s;]+) *(;)?", lock, re.MULTILINE):
        pins.setdefault(name, []).append(want)
        everywhere |= set() if marker else {name}
    have = {name: (version(name) or "missing").partition("+")[0] for name in pins}  # 2.15.0+cu132 is 2.15.0
    absent = {name for name in pins if have[name] == "missing" and name not in everywhere}
    return [
        f"{name} {have[name]}, lock has {' or '.join(wants)}"
        for name, wants in pins.items()
        if name not in absent and have[name] not in wants
    ]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _parse_version(version: str | None) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", (version or "0").partition("+")[0])[:3])
