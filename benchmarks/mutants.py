"""Mutants: small changes of lines that decide results, and whether the quick tests notice them.

python benchmarks/mutants.py                    draws 50 changes (--seed, --count), writes benchmarks/results/mutants.md
python benchmarks/mutants.py --only 3,17        these draws again, printed: to see whether a hole is closed
python benchmarks/mutants.py --only 3 --folder  and the rest of the folder of tests, if the first pass

Each change is made in a throw-away copy of the checkout; then the test files run that name the module, carry its name,
or name an option that builds something of it. Slow and GPU tests do not run. A test counts only if it passes without
the change. Takes about half an hour; what the report holds below "## By hand" is kept.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from mutations import PACKAGES, SOURCE, Mutant, draw

ROOT = Path(__file__).parents[1]
REPORT = ROOT / "benchmarks/results/mutants.md"
BY_HAND = "## By hand\n"
EVERY = {"models": ["tests/models/test_init.py", "tests/models/test_autocast.py"]}  # of every module of a package
SECONDS = 600.0  # for the tests of a change; a loop that never ends is noticed
MEMORY = 16 << 30  # bytes of addresses of each process of the tests; a change can fill all there is


def mirrored_tests(root: Path, path: Path) -> list[str]:
    """Return the test files that carry the module's name or import it, else those of the modules that import it.

    Then those of its package that name an option of conf/ which builds something of the module.
    """
    files = sorted((root / "tests").rglob("test_*.py"))
    if not (tests := _find_importers(root, path, files, path.stem)):
        users = _find_importers(root, path, sorted((root / SOURCE / path.parts[2]).rglob("*.py")), "")
        tests = sorted({test for user in users for test in _find_importers(root, user, files, user.stem)})
    return [str(test) for test in dict.fromkeys([*tests, *_find_by_option(root, path)])]


def _find_by_option(root: Path, path: Path) -> list[Path]:
    module = ".".join(path.relative_to("src").with_suffix("").parts)
    configs = [file for file in (root / "conf").rglob("*.yaml") if f"{module}." in file.read_text(encoding="utf-8")]
    options = re.compile("|".join(rf"\b{re.escape(file.stem)}\b" for file in configs) or "(?!)")
    files = sorted((root / "tests" / path.parts[2]).rglob("test_*.py"))
    return [file.relative_to(root) for file in files if options.search(file.read_text(encoding="utf-8"))]


def _find_importers(root: Path, path: Path, files: list[Path], name: str) -> list[Path]:
    """Return the files named after the module `name`, then those that import the module at `path`."""
    package, _, module = ".".join(path.relative_to("src").with_suffix("").parts).rpartition(".")
    package = re.escape(package)
    imports = re.compile(rf"{package}\.{module}\b|^\s*from {package} import .*\b{module}\b", re.MULTILINE)
    own = (path.parts[2], "export")  # folders of its tests
    named = [f for f in files if name and f.stem in (f"test_{name}", f"test_{name[:-1]}") and f.parts[-2] in own]
    importing = [file for file in files if file not in named and imports.search(file.read_text(encoding="utf-8"))]
    return [file.relative_to(root) for file in (*named, *importing)]


def run_tests(copy: Path, tests: list[str]) -> str:
    """Run tests in the copy -> the id of the first that fails, "timeout", "crash", or "" if all pass."""
    environment = os.environ | {
        "PYTHONPATH": str(copy / "src"), "LINEAGE_CACHE": str(copy / ".cache"), "OMP_NUM_THREADS": "1",
        "LINEAGE_REAL_DATA": os.environ.get("LINEAGE_REAL_DATA", str(ROOT.parent / "shared" / "data")),
    }  # fmt: skip
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-m", "not slow and not gpu", *tests]
    limit = partial(resource.setrlimit, resource.RLIMIT_AS, (MEMORY, MEMORY))
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen(command, cwd=copy, env=environment, start_new_session=True, preexec_fn=limit, **pipes)
    try:
        output, _ = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return "timeout"
    if process.returncode < 0:  # by a signal: it read wrong memory, or took all of it
        return "crash"
    failed = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", output, re.MULTILINE)
    if process.returncode not in (0, 5) and failed is None:  # 5: every test was deselected
        raise RuntimeError(f"{' '.join(command)} in {copy}:\n{output[-2000:]}")
    return failed[1] if failed else ""


def judge(copy: Path, mutant: Mutant, folder: bool) -> str:
    """Run the tests with the change -> the test that fails, "timeout", "crash", or "" if it survives."""
    package = mutant.path.parts[2]
    tests = list(dict.fromkeys([*mirrored_tests(copy, mutant.path), *EVERY.get(package, [])]))
    rest = [str(file.relative_to(copy)) for file in sorted((copy / "tests" / package).rglob("test_*.py"))]
    stages = [tests, *([[name for name in rest if name not in tests]] if folder or not tests else [])]
    deselected: list[str] = []  # tests that fail in the copy without the change, too
    for stage in filter(None, stages):
        while True:
            write(copy, mutant, mutant.apply())
            killer = run_tests(copy, stage + deselected)
            write(copy, mutant, mutant.source)
            if not killer:
                break
            test, _, _ = killer.partition("[")
            if killer in ("timeout", "crash") or not run_tests(copy, [test, *([] if "::" in test else ["--co"])]):
                return killer
            deselected.append(f"--deselect={killer}")
    return ""


def write(copy: Path, mutant: Mutant, source: str) -> None:
    """Write the file, and drop its bytecode, whose age is counted in seconds."""
    (copy / mutant.path).write_text(source, encoding="utf-8")
    Path(importlib.util.cache_from_source(str(copy / mutant.path))).unlink(missing_ok=True)


def show(mutant: Mutant) -> str:
    """Return the place, and its line before and after."""
    texts = (text.splitlines()[mutant.line - 1] for text in (mutant.source, mutant.apply()))
    lines = [text.strip()[:110].replace("|", "\\|") for text in texts]
    return f"`{mutant.path.relative_to(SOURCE)}:{mutant.line}` | {mutant.kind} | `{lines[0]}` → `{lines[1]}`"


def report(mutants: list[Mutant], killers: list[str], places: int, seed: int, commit: str) -> str:
    noticed = sum(map(bool, killers))
    lines = [
        "# Small changes that the quick tests notice", "",
        f"`python benchmarks/mutants.py --seed {seed} --count {len(mutants)}`, {datetime.date.today()}, commit "
        f"{commit}: {len(mutants)} of {places:,} places.", "",
        f"**{noticed} of {len(mutants)} noticed ({100 * noticed / len(mutants):.0f} %)** by the test files that import "
        "the module, carry its name or name an option that builds it. Slow and GPU tests did not run.", "",
        "| package | drawn | noticed |", "| --- | ---: | ---: |",
    ]  # fmt: skip
    for package in PACKAGES:
        own = [bool(killer) for one, killer in zip(mutants, killers, strict=True) if one.path.parts[2] == package]
        lines.append(f"| {package} | {len(own)} | {sum(own)} |")
    lines += ["", "| # | place | kind | change | noticed by |", "| ---: | --- | --- | --- | --- |"]
    for number, (one, killer) in enumerate(zip(mutants, killers, strict=True)):
        lines.append(f"| {number} | {show(one)} | {killer.replace('|', '/') or '**survives**'} |")
    return "\n".join(lines) + "\n\n"


def copy_checkout(copy: Path) -> None:
    """Copy the tracked files: the working tree may change while the tests run."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in names.rstrip("\0").split("\0"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy / name)


def main() -> None:
    parser = argparse.ArgumentParser(description="Small changes that the quick tests notice.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--only", help="print these draws, e.g. 3,17, and write nothing")
    parser.add_argument("--folder", action="store_true", help="also run the rest of the folder")
    args = parser.parse_args()
    killers = []
    command = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.strip()
    with tempfile.TemporaryDirectory() as copy:
        copy_checkout(Path(copy))
        mutants, places = draw(Path(copy), args.seed, args.count)
        for number in map(int, args.only.split(",")) if args.only else range(args.count):
            started = time.perf_counter()
            killers.append(judge(Path(copy), mutants[number], args.folder))
            took = time.perf_counter() - started
            print(f"{number} {show(mutants[number])} | {killers[-1] or 'SURVIVES'} ({took:.0f} s)", flush=True)
    if args.only is None:
        by_hand = REPORT.read_text(encoding="utf-8").partition(BY_HAND)[2] if REPORT.is_file() else ""
        REPORT.write_text(report(mutants, killers, places, args.seed, commit) + BY_HAND + by_hand, encoding="utf-8")


if __name__ == "__main__":
    main()
