"""Mutants: small changes of lines that decide results, and whether the quick tests notice them.

python benchmarks/mutants.py                    draws 50 changes (--seed, --count), writes benchmarks/results/mutants.md
python benchmarks/mutants.py --only 3,17        these draws again, printed: to see whether a hole is closed
python benchmarks/mutants.py --traces FOLDER    keeps there which test executes which line, or reads it again

The quick suite runs once under coverage.py, which records the lines that each test executes. Then each change is made
in a throw-away copy of the checkout, and the tests run that execute the changed statement: those of files with the
module's name first, then the fast ones, for two minutes at most. Slow and GPU tests do not run, so the kernels of a
GPU are not drawn. A test counts only if it passes without the change. What the report holds below "## By hand" is kept.

Needs coverage and pytest-cov: .venv/bin/uv pip install coverage pytest-cov
"""

from __future__ import annotations

import argparse
import ast
import datetime
import importlib.util
import os
import queue
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from mutations import PACKAGES, SOURCE, Mutant, draw

ROOT = Path(__file__).parents[1]
REPORT = ROOT / "benchmarks/results/mutants.md"
BY_HAND = "## By hand\n"
JOBS = 2  # changes that are tried at a time
SECONDS = 120.0  # of tests for one change, as the suite timed them
PATIENCE = 3  # times its seconds, and a minute: a loop that never ends is noticed
MEMORY = 16 << 30  # bytes of addresses of each process of the tests; a change can fill all there is
FILLS_THE_DISK = ("tests/results/test_disk.py", "tests/train/test_save_tensors.py::test_the_disk_s_error_is_raised")
RULES = """[run]
source_pkgs = lineage
concurrency = multiprocessing,thread
relative_files = true
parallel = true
context = ${PYTEST_CURRENT_TEST-}
"""
QUICK = ["-q", "-m", "not slow and not gpu"]


class Traces:
    """Quick tests by the lines that they execute, and their seconds, from the files that `record` writes."""

    def __init__(self, folder: Path) -> None:
        from coverage import CoverageData

        self.data = CoverageData(str(folder / "coverage"))
        self.data.read()
        cases = ElementTree.parse(folder / "junit.xml").iter("testcase")
        self.seconds = {
            name_test(case.attrib["classname"], case.attrib["name"]): float(case.attrib["time"])
            for case in cases
            if case.attrib["classname"].startswith("tests.")  # else a file that is skipped whole
        }

    def select(self, mutant: Mutant) -> tuple[list[str], float]:
        """Return the tests for a change, and their seconds.

        They execute its statement or stand in test_MODULE.py; where that runs at import, in whatever test imports the
        module first, they execute anything of its file. If there are none: those that name the module.
        """
        contexts, stem = self.data.contexts_by_lineno(str(mutant.path)), mutant.path.stem
        lines = statement_lines(mutant) if is_in_function(mutant) else contexts.keys()
        tests = {test for line in lines for test in self._name_tests(contexts.get(line, []))}
        tests |= {
            test for test in self.seconds if f"tests/{mutant.path.parts[2]}/" in test and f"/test_{stem}.py" in test
        }
        tests = tests or {test for line in contexts.values() for test in self._name_tests(line)}
        tests = tests or {test for test in self.seconds if stem in read_test_file(test.split("::")[0])}
        chosen: list[str] = []
        total = 0.0
        for test in sorted(tests, key=lambda test: (stem not in test.split("::")[0], self.seconds[test])):
            total += self.seconds[test]
            if chosen and total > SECONDS:
                break
            chosen.append(test)
        return chosen, total

    def _name_tests(self, contexts: list[str]) -> set[str]:
        """Return the tests of contexts: "test_iou[2]|run" of pytest-cov, "test_run (call)" of a process of a test."""
        return {test for context in contexts if (test := re.sub(r"\|\w+$| \(\w+\)$", "", context)) in self.seconds}


def name_test(folders: str, name: str) -> str:
    """Return "tests/results/test_renames.py::TestChains::test_a" of "tests.results.test_renames.TestChains"."""
    parts = folders.split(".")
    is_class = not parts[-1].startswith("test_")
    file = "/".join(parts[: len(parts) - is_class]) + ".py"
    return "::".join([file, *parts[len(parts) - is_class :], name])


@cache
def read_test_file(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def record(folder: Path) -> None:
    """Run the quick suite under coverage.py; write `coverage` and `junit.xml`.

    A process that a test starts reads the rules again, and with them the test's name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as copy:
        copy_checkout(Path(copy))
        rules = Path(copy, ".coveragerc")
        rules.write_text(RULES, encoding="utf-8")
        options = ["-n", str(JOBS), "--cov=lineage", "--cov-context=test", "--cov-report="]
        options += [f"--deselect={test}" for test in FILLS_THE_DISK]
        command = [sys.executable, "-m", "pytest", *QUICK, *options, f"--junitxml={folder / 'junit.xml'}"]
        environment = {"COVERAGE_FILE": str(folder / "coverage"), "COVERAGE_PROCESS_START": str(rules)}
        subprocess.run(command, cwd=copy, env=test_environment(Path(copy)) | environment)


def test_environment(copy: Path) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(copy / "src"), os.environ.get("PYTHONPATH")]))
    return os.environ | {
        "PYTHONPATH": path, "LINEAGE_CACHE": str(copy / ".cache"), "OMP_NUM_THREADS": "1",
        "LINEAGE_REAL_DATA": os.environ.get("LINEAGE_REAL_DATA", str(ROOT.parent / "shared" / "data")),
    }  # fmt: skip


def is_in_function(mutant: Mutant) -> bool:
    """Return whether a change lies in the body of a function."""
    functions = (node for node in ast.walk(ast.parse(mutant.source)) if isinstance(node, ast.FunctionDef))
    return any(node.body[0].lineno <= mutant.line <= (node.end_lineno or node.lineno) for node in functions)


def statement_lines(mutant: Mutant) -> range:
    """Return the lines of the innermost statement around a change; of one with a body, those before the body."""
    lines = range(mutant.line, mutant.line + 1)
    for node in ast.walk(ast.parse(mutant.source)):  # outer nodes come before inner ones
        if isinstance(node, ast.stmt) and node.lineno <= mutant.line <= (node.end_lineno or node.lineno):
            body = getattr(node, "body", None)
            end = body[0].lineno - 1 if body else node.end_lineno or node.lineno
            if mutant.line <= max(end, node.lineno):
                lines = range(node.lineno, max(end, node.lineno) + 1)
    return lines


def run_tests(copy: Path, tests: list[str], seconds: float) -> str:
    """Run tests in the copy -> the id of the first that fails, "timeout", "crash", or "" if all pass."""
    command = [sys.executable, "-m", "pytest", "-x", *QUICK, "-p", "no:cacheprovider", *tests]
    limit = partial(resource.setrlimit, resource.RLIMIT_AS, (MEMORY, MEMORY))
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    environment = test_environment(copy)
    process = subprocess.Popen(command, cwd=copy, env=environment, start_new_session=True, preexec_fn=limit, **pipes)
    try:
        output, _ = process.communicate(timeout=PATIENCE * seconds + 60)
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


def judge(copy: Path, mutant: Mutant, traces: Traces) -> str:
    """Run the tests with the change -> the test that fails, "timeout", "crash", or "" if it survives."""
    tests, seconds = traces.select(mutant)
    while tests:
        write(copy, mutant, mutant.apply())
        killer = run_tests(copy, tests, seconds)
        write(copy, mutant, mutant.source)
        if not killer or killer in ("timeout", "crash"):
            return killer
        if killer not in tests or not run_tests(copy, [killer], seconds):  # not in them: a file that does not load
            return killer
        tests = [name for name in tests if name != killer]  # fails in the copy without the change, too
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
        f"{commit}: {len(mutants)} of {places:,} places in files that decide results.", "",
        f"**{noticed} of {len(mutants)} noticed ({100 * noticed / len(mutants):.0f} %)** by the quick tests that "
        "execute the changed statement. Slow and GPU tests did not run.", "",
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


def judge_all(mutants: dict[int, Mutant], traces: Path) -> dict[int, str]:
    """Judge changes, a few at a time, each in a copy of its own; print each -> the tests that fail, by number."""
    killers: dict[int, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        copies: queue.Queue[Path] = queue.Queue()
        for job in range(JOBS):
            copy_checkout(Path(folder, str(job)))
            copies.put(Path(folder, str(job)))

        def work(number: int) -> None:
            started, copy = time.perf_counter(), copies.get()
            try:
                killers[number] = judge(copy, mutants[number], Traces(traces))
            finally:
                copies.put(copy)
            took = time.perf_counter() - started
            print(f"{number} {show(mutants[number])} | {killers[number] or 'SURVIVES'} ({took:.0f} s)", flush=True)

        with ThreadPoolExecutor(JOBS) as pool:
            list(pool.map(work, mutants))
    return killers


def main() -> None:
    parser = argparse.ArgumentParser(description="Small changes that the quick tests notice.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--only", help="print these draws, e.g. 3,17, and write nothing")
    parser.add_argument("--package", choices=PACKAGES, help="draw from it alone, and write nothing")
    parser.add_argument("--traces", type=Path, help="folder of which test executes which line; made if there is none")
    args = parser.parse_args()
    command = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.strip()
    drawn, places = draw(ROOT, args.seed, args.count, [args.package] if args.package else list(PACKAGES))
    numbers = list(map(int, args.only.split(","))) if args.only else list(range(len(drawn)))
    with tempfile.TemporaryDirectory() as folder:
        traces = (args.traces or Path(folder)).absolute()
        if not (traces / "junit.xml").is_file():
            record(traces)
        killers = judge_all({number: drawn[number] for number in numbers}, traces)
    if args.only is None and args.package is None:
        by_hand = REPORT.read_text(encoding="utf-8").partition(BY_HAND)[2] if REPORT.is_file() else ""
        text = report(drawn, [killers[number] for number in numbers], places, args.seed, commit)
        REPORT.write_text(text + BY_HAND + by_hand, encoding="utf-8")


if __name__ == "__main__":
    main()
