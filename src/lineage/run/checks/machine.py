"""Checks of this machine: processor, GPU, memory, disk, git, folders, services, and the paths of datasets."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from lineage.results import git_state
from lineage.results.paths import ROOT
from lineage.run.checks.packages import CheckResult

GB = 2**30
BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # of x86, x86 and Arm


def run_check(check: Callable[[], CheckResult]) -> CheckResult:
    """Run a check; an exception in it becomes a warning, so that `lineage doctor` ends on every machine."""
    try:
        return check()
    except Exception as error:
        return CheckResult("warn", f"could not look: {type(error).__name__}: {error}")


def check_gpu() -> CheckResult:
    import torch

    driver = _run("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader").partition("\n")[0]
    if torch.cuda.is_available():
        return _describe_gpu(torch.cuda, driver)
    if not driver:
        return CheckResult("ok", "none: runs on the CPU, which is enough for dataset=shapes")
    fix = f"update the driver to one for CUDA {torch.version.cuda}, or check CUDA_VISIBLE_DEVICES"
    return CheckResult("warn", f"driver {driver}, but torch {torch.__version__} sees no GPU", fix)


def _describe_gpu(cuda: ModuleType, driver: str) -> CheckResult:
    memory = cuda.get_device_properties(0).total_memory / GB
    name = f"{cuda.device_count()} x {cuda.get_device_name(0)}, {memory:.0f} GB, driver {driver or 'unknown'}"
    return CheckResult("ok", f"{name}, {'bf16' if cuda.is_bf16_supported(including_emulation=False) else 'no bf16'}")


def check_processor() -> CheckResult:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    free = _read_meminfo("MemAvailable")
    text = f"{cores} cores" + (f", {free:.1f} GB of memory free" if free is not None else "")
    text += {True: ", bf16", False: ", no bf16", None: ""}[has_bf16()]
    if free is not None and free < 3:
        return CheckResult("warn", text, "a default run needs about 3 GB: close something, or data.workers=0")
    return CheckResult("ok", text)


def has_bf16() -> bool | None:
    """Return whether the processor multiplies bfloat16 itself; None if the system does not say."""
    with contextlib.suppress(OSError):
        if flags := re.search(r"^(?:flags|Features)\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE):
            return not BF16_FLAGS.isdisjoint(flags[1].split())
    return None


def check_shared_memory() -> CheckResult:
    """Check /dev/shm, through which data loader workers pass batches; containers often have 64 MB of it."""
    shm = Path("/dev/shm")
    if not shm.is_dir():
        return CheckResult("ok", "no /dev/shm here")
    free = shutil.disk_usage(shm).free / GB
    if free < 0.5:
        fix = "start the container with --shm-size=2g, or train with data.workers=0"
        return CheckResult("warn", f"{free:.2f} GB free in {shm}", fix)
    return CheckResult("ok", f"{free:.1f} GB free in {shm}")


def check_disk() -> CheckResult:
    free = shutil.disk_usage(Path.cwd()).free / GB
    if free < 2:
        fix = "the checkpoints of a paper-size run take 2 GB: free some, or set paths.runs"
        return CheckResult("warn", f"{free:.1f} GB free here", fix)
    return CheckResult("ok", f"{free:.0f} GB free here")


def check_wandb() -> CheckResult:
    mode = os.environ.get("WANDB_MODE", "")
    if mode in ("offline", "disabled", "dryrun"):
        return CheckResult("ok", f"WANDB_MODE={mode}")
    netrc = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    if os.environ.get("WANDB_API_KEY") or (netrc.is_file() and "wandb" in netrc.read_text(errors="replace")):
        return CheckResult("ok", "a key is set: logger=wandb is online")
    return CheckResult("ok", "no key: logger=wandb writes offline runs; `wandb login` puts them online")


def check_git() -> CheckResult:
    state = git_state.current(ROOT)
    if state.commit is None:
        return CheckResult(
            "warn", "not a git checkout", "git clone instead of copying: an entry names the commit it ran"
        )
    if state.dirty:
        return CheckResult(
            "warn", f"{state.commit[:10]} with uncommitted changes", "commit before runs that shall count"
        )
    return CheckResult("ok", f"{state.commit[:10]}, clean")


def check_writable() -> CheckResult:
    cache = Path(os.environ.get("LINEAGE_CACHE", "~/.cache/lineage")).expanduser()
    refused = [str(folder) for folder in (Path("results"), Path("runs"), cache) if not _is_writable(folder)]
    if refused:
        fix = "change the owner, or set paths.results, paths.runs or LINEAGE_CACHE to a folder of yours"
        return CheckResult("bad", f"cannot write to {', '.join(refused)}", fix)
    return CheckResult("ok", f"results, runs, {cache}")


def check_slurm() -> CheckResult:
    if job := os.environ.get("SLURM_JOB_ID"):
        return CheckResult("ok", f"inside job {job}")
    return CheckResult("ok", "sbatch found" if shutil.which("sbatch") else "none")


def check_datasets(paths: dict[str, str]) -> list[tuple[str, CheckResult]]:
    """Check that the paths exist and can be read; `lineage data check` reads the files themselves."""
    root = Path(paths.get("dataset.root", ".")).expanduser()
    absolute = {key: root if key == "dataset.root" else root / Path(value).expanduser() for key, value in paths.items()}
    return [(key, _check_path(key, path)) for key, path in absolute.items()]


def _check_path(key: str, path: Path) -> CheckResult:
    if not path.exists():
        return CheckResult("bad", f"{path} does not exist", f"set {key} to where it is on this machine")
    if not os.access(path, os.R_OK):
        return CheckResult("bad", f"{path} cannot be read", "change its permissions")
    if path.is_dir() and not any(path.iterdir()):
        return CheckResult("bad", f"{path} is empty", "is the disk mounted? Is the archive unpacked?")
    return CheckResult("ok", str(path))


def _run(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def _read_meminfo(key: str) -> float | None:
    with contextlib.suppress(OSError):
        if match := re.search(rf"^{key}:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE):
            return int(match[1]) * 1024 / GB
    return None


def _is_writable(folder: Path) -> bool:
    """Write a temporary file in the folder or its first parent that exists: permission bits ignore read-only mounts."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            return True
    except OSError:
        return False
