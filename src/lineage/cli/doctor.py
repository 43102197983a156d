"""Does this machine run lineage? One line per thing that can be wrong, with the fix beside each cross.

`lineage doctor [dataset.root=DIR ...]` looks and never changes anything. It exits 1 when something makes a run
impossible; a warning says what will be slow, missing or not comparable.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from lineage.results import git_state

ROOT = Path(__file__).parents[3]  # the checkout; a copied package finds no lock file there and says so
MALWARE = ("2.6.2", "2.6.3")
GB = 2**30


class Finding(NamedTuple):
    state: str  # ok | warn | bad
    found: str
    fix: str = ""


MARKS = {"ok": "[green]✓[/]", "warn": "[yellow]![/]", "bad": "[red]✗[/]"}


def main(argv: Sequence[str]) -> int:
    """Print the table; 1 when something is fatal, 2 for an argument that doctor does not know."""
    unknown = [word for word in argv if not re.match(r"dataset\.[\w.]+=.", word)]
    if unknown and unknown[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    if unknown:
        fix = "give dataset.root=DIR or dataset.<split>.annotations=FILE, or nothing"
        print(f"lineage doctor: unknown {unknown[0]!r}; {fix}", file=sys.stderr)
        return 2
    findings = [(name, look(check)) for name, check in CHECKS.items()]
    findings += datasets(dict(word.split("=", 1) for word in argv))
    show(findings)
    return int(any(finding.state == "bad" for _, finding in findings))


def look(check: Callable[[], Finding]) -> Finding:
    """A check that breaks is itself a finding: doctor must survive every machine."""
    try:
        return check()
    except Exception as error:
        return Finding("warn", f"could not look: {type(error).__name__}: {error}")


def python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info[:2] < (3, 14):
        return Finding("ok", f"{version} in {sys.prefix}")
    fix = "use Python 3.11 to 3.13 (Hydra 1.3 does not start on 3.14): make setup PYTHON=python3.12"
    return Finding("bad", version, fix)


def torch_pair() -> Finding:
    """Calls a compiled torchvision op: a CPU torch beside a CUDA torchvision is installed without complaint."""
    try:
        import torch
        import torchvision

        torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    except Exception as error:
        first = (str(error) or type(error).__name__).splitlines()[0]
        return Finding("bad", first, "torch and torchvision must be builds of one release and device: make setup")
    return Finding("ok", f"torch {torch.__version__}, torchvision {torchvision.__version__}")


def gpu() -> Finding:
    import torch

    driver = _output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader").partition("\n")[0]
    if torch.cuda.is_available():
        return _usable_gpu(torch.cuda, driver)
    if not driver:
        return Finding("ok", "none: runs on the CPU, which is enough for dataset=shapes")
    fix = f"update the driver to one for CUDA {torch.version.cuda}, or check CUDA_VISIBLE_DEVICES"
    return Finding("warn", f"driver {driver}, but torch {torch.__version__} sees no GPU", fix)


def _usable_gpu(cuda: ModuleType, driver: str) -> Finding:
    memory = cuda.get_device_properties(0).total_memory / GB
    name = f"{cuda.device_count()} x {cuda.get_device_name(0)}, {memory:.0f} GB, driver {driver or 'unknown'}"
    return Finding("ok", f"{name}, {'bf16' if cuda.is_bf16_supported(including_emulation=False) else 'no bf16'}")


def processor() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    free = _meminfo("MemAvailable")
    found = f"{cores} cores" + (f", {free:.1f} GB of memory free" if free is not None else "")
    if free is not None and free < 3:
        return Finding("warn", found, "a default run needs about 3 GB: close something, or data.workers=0")
    return Finding("ok", found)


def shared_memory() -> Finding:
    """Data loader workers hand over batches through /dev/shm; containers often give it 64 MB."""
    shm = Path("/dev/shm")
    if not shm.is_dir():
        return Finding("ok", "no /dev/shm here")
    free = shutil.disk_usage(shm).free / GB
    if free < 0.5:
        fix = "start the container with --shm-size=2g, or train with data.workers=0"
        return Finding("warn", f"{free:.2f} GB free in {shm}", fix)
    return Finding("ok", f"{free:.1f} GB free in {shm}")


def disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free / GB
    if free < 2:
        fix = "the checkpoints of a paper-size run take 2 GB: free some, or set paths.runs"
        return Finding("warn", f"{free:.1f} GB free here", fix)
    return Finding("ok", f"{free:.0f} GB free here")


def hydra() -> Finding:
    found = {name: metadata.version(name) for name in ("hydra-core", "omegaconf")}
    text = ", ".join(f"{name} {version}" for name, version in found.items())
    if (1, 3, 8) <= _numbers(found["hydra-core"]) < (1, 4) and _numbers(found["omegaconf"]) < (2, 4):
        return Finding("ok", text)
    return Finding("bad", text, "the config plugins are written for hydra-core 1.3 from 1.3.8 on: make setup")


def lightning() -> Finding:
    found = {name: _version(name) for name in ("pytorch-lightning", "lightning")}
    text = ", ".join(f"{name} {version}" for name, version in found.items() if version)
    if any(version in MALWARE for version in found.values()):
        fix = "uninstall it, change every password and key this machine knew, then make setup"
        return Finding("bad", f"{text} was published by an attacker", fix)
    if not found["pytorch-lightning"]:
        return Finding("bad", "pytorch-lightning is not installed", "make setup")
    if _numbers(found["pytorch-lightning"]) < (2, 6, 6):
        return Finding("warn", text, "before 2.6.6 a stranger's checkpoint can run code: make setup")
    return Finding("ok", text)


def packages() -> Finding:
    lock = ROOT / "requirements.lock"
    if not lock.is_file():
        return Finding("warn", "no requirements.lock beside this package", "run from a checkout to know what is pinned")
    differing = out_of_step(lock.read_text(), _version)
    if not differing:
        return Finding("ok", "as requirements.lock says")
    shown = ", ".join(differing[:4]) + (f" and {len(differing) - 4} more" if len(differing) > 4 else "")
    return Finding("warn", shown, "make setup; numbers from other versions are comparable only roughly")


def out_of_step(lock: str, version: Callable[[str], str | None]) -> list[str]:
    """`name have, lock has want` of each package whose version differs. A name may be pinned once per marker."""
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


def wandb() -> Finding:
    mode = os.environ.get("WANDB_MODE", "")
    if mode in ("offline", "disabled", "dryrun"):
        return Finding("ok", f"WANDB_MODE={mode}")
    netrc = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    if os.environ.get("WANDB_API_KEY") or (netrc.is_file() and "wandb" in netrc.read_text(errors="replace")):
        return Finding("ok", "a key is set: logger=wandb is online")
    return Finding("ok", "no key: logger=wandb writes offline runs; `wandb login` puts them online")


def git() -> Finding:
    state = git_state.current(ROOT)
    if state.commit is None:
        return Finding("warn", "not a git checkout", "git clone instead of copying: an entry names the commit it ran")
    if state.dirty:
        return Finding("warn", f"{state.commit[:10]} with uncommitted changes", "commit before runs that shall count")
    return Finding("ok", f"{state.commit[:10]}, clean")


def writable() -> Finding:
    cache = Path(os.environ.get("LINEAGE_CACHE", "~/.cache/lineage")).expanduser()
    refused = [str(folder) for folder in (Path("results"), Path("runs"), cache) if not _can_write(folder)]
    if refused:
        fix = "change the owner, or set paths.results, paths.runs or LINEAGE_CACHE to a folder of yours"
        return Finding("bad", f"cannot write to {', '.join(refused)}", fix)
    return Finding("ok", f"results, runs, {cache}")


def slurm() -> Finding:
    if job := os.environ.get("SLURM_JOB_ID"):
        return Finding("ok", f"inside job {job}")
    return Finding("ok", "sbatch found" if shutil.which("sbatch") else "none")


CHECKS: dict[str, Callable[[], Finding]] = {
    "python": python,
    "torch": torch_pair,
    "gpu": gpu,
    "cpu": processor,
    "shared memory": shared_memory,
    "disk": disk,
    "hydra": hydra,
    "lightning": lightning,
    "packages": packages,
    "git": git,
    "can write": writable,
    "w&b": wandb,
    "slurm": slurm,
}


def datasets(given: dict[str, str]) -> list[tuple[str, Finding]]:
    """Only whether it is there: `lineage data check` reads what is inside."""
    root = Path(given.get("dataset.root", ".")).expanduser()
    places = {key: root if key == "dataset.root" else root / Path(value).expanduser() for key, value in given.items()}
    return [(key, _place(key, path)) for key, path in places.items()]


def _place(key: str, path: Path) -> Finding:
    if not path.exists():
        return Finding("bad", f"{path} does not exist", f"set {key} to where it is on this machine")
    if not os.access(path, os.R_OK):
        return Finding("bad", f"{path} cannot be read", "change its permissions")
    if path.is_dir() and not any(path.iterdir()):
        return Finding("bad", f"{path} is empty", "is the disk mounted? Is the archive unpacked?")
    return Finding("ok", str(path))


def show(findings: list[tuple[str, Finding]]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    for name, finding in findings:
        table.add_row(MARKS[finding.state], name, escape(finding.found))
        if finding.fix:
            table.add_row("", "", f"[dim]fix:[/] {escape(finding.fix)}")
    bad = [name for name, finding in findings if finding.state == "bad"]
    console = Console(soft_wrap=not sys.stdout.isatty())
    console.print(table)
    ready = "make train" if (ROOT / "Makefile").is_file() else "lineage train"
    console.print(f"[red]Not ready: {', '.join(bad)}[/]" if bad else f"Ready: {ready}")


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def _meminfo(key: str) -> float | None:
    with contextlib.suppress(OSError):
        if match := re.search(rf"^{key}:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE):
            return int(match[1]) * 1024 / GB
    return None


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str | None) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", (version or "0").partition("+")[0])[:3])


def _can_write(folder: Path) -> bool:
    """Tried for real, in it or the first parent that exists: permission bits do not tell of read-only mounts."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            return True
    except OSError:
        return False
