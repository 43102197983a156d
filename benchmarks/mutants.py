"""Mutants: small changes of lines that decide results, and whether the quick tests notice them.

python benchmarks/mutants.py                    draws 50 changes (--seed, --count), writes benchmarks/results/mutants.md
python benchmarks/mutants.py --only 3,17        these draws again, printed: to see whether a hole is closed
python benchmarks/mutants.py --only 3 --folder  and the rest of the folder of tests, if the first pass

Each change is made in a throw-away copy of the checkout; then the test files run that name the module or carry its
name. Slow and GPU tests do not run. A test counts only if it passes without the change. Takes about half an hour; what
the report holds below "## By hand" is kept.

mutmut 3 forks after torch has started its threads and leaves code outside of functions alone; cosmic-ray has no change
that drops a cast or swaps arguments, and a single test command for all changes.
"""

from __future__ import annotations

import argparse
import ast
import datetime
import importlib.util
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SOURCE = Path("src/lineage")
PACKAGES = ("ops", "models", "eval", "tables", "data", "train", "weights", "launch")
REPORT = ROOT / "benchmarks/results/mutants.md"
BY_HAND = "## By hand\n"
EVERY = {"models": ["tests/models/test_init.py", "tests/models/test_autocast.py"]}  # of every module of a package
SECONDS = 600.0  # for the tests of a change; a loop that never ends is noticed
OPERATORS: dict[type[ast.AST], tuple[str, str, str]] = {  # kind, text today, text of the mutant
    ast.Lt: ("comparison", "<", "<="), ast.LtE: ("comparison", "<=", "<"), ast.Gt: ("comparison", ">", ">="),
    ast.GtE: ("comparison", ">=", ">"), ast.Eq: ("comparison", "==", "!="), ast.NotEq: ("comparison", "!=", "=="),
    ast.In: ("comparison", "in", "not in"), ast.NotIn: ("comparison", "not in", "in"),
    ast.Is: ("comparison", "is", "is not"), ast.IsNot: ("comparison", "is not", "is"),
    ast.Add: ("arithmetic", "+", "-"), ast.Sub: ("arithmetic", "-", "+"), ast.Mult: ("arithmetic", "*", "/"),
    ast.Div: ("arithmetic", "/", "*"), ast.FloorDiv: ("arithmetic", "//", "*"), ast.Pow: ("arithmetic", "**", "*"),
    ast.BitAnd: ("logic", "&", "|"), ast.BitOr: ("logic", "|", "&"), ast.And: ("logic", "and", "or"),
    ast.Or: ("logic", "or", "and"),
}  # fmt: skip
CASTS = {"float", "double", "long", "int", "bool", "half", "to", "round", "floor", "ceil", "clamp", "detach", "astype"}
CAST_FUNCTIONS = {"int", "float", "round", "abs", "bool"}


Span = Callable[[ast.AST], tuple[int, int]]  # node -> its first character and the one behind its last


@dataclass(frozen=True, slots=True)
class Mutant:
    path: Path  # below the root of the repository
    source: str
    line: int
    kind: str
    start: int  # characters that it replaces
    end: int
    text: str

    def apply(self) -> str:
        return self.source[: self.start] + self.text + self.source[self.end :]


def list_mutants(path: Path, source: str) -> list[Mutant]:
    """Return every change of one file; texts of errors, annotations and docstrings are left out."""
    data = source.encode()
    starts = [0, *accumulate(map(len, data.splitlines(keepends=True)))]  # of each line, in bytes, as ast counts

    def span(node: Any) -> tuple[int, int]:
        ends = starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset
        return len(data[: ends[0]].decode()), len(data[: ends[1]].decode())

    edits = (edit for node in _walk(ast.parse(source)) for edit in _edits(node, source, span))
    return [Mutant(path, source, source.count("\n", 0, edit[1]) + 1, *edit) for edit in edits]


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """Visit the nodes whose change can change a result."""
    if isinstance(node, ast.Raise | ast.JoinedStr | ast.Import | ast.ImportFrom):
        return
    if isinstance(node, ast.keyword) and node.arg == "strict":  # of zip: a check, never a result
        return
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _walk(child)


def _edits(node: ast.AST, source: str, span: Span) -> Iterator[tuple[str, int, int, str]]:
    """Yield kind, start, end and text of the changes of one node."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        yield from _operator(node.ops[0], span(node.left)[1], span(node.comparators[0])[0], source)
    elif isinstance(node, ast.BinOp):
        yield from _operator(node.op, span(node.left)[1], span(node.right)[0], source)
    elif isinstance(node, ast.BoolOp):
        yield from _operator(node.op, span(node.values[0])[1], span(node.values[1])[0], source)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.Invert | ast.USub):
        start = span(node)[0]
        yield "negation", start, start + (3 if isinstance(node.op, ast.Not) else 1), ""
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float):
        value = node.value
        other = not value if isinstance(value, bool) else value + 1 if isinstance(value, int) else value * 1.1 + 0.01
        yield "constant", *span(node), repr(other)
    elif isinstance(node, ast.Call):
        yield from _call_edits(node, source, span)
    elif isinstance(node, ast.AugAssign | ast.Continue | ast.Break) or _is_update(node) or _is_command(node):
        yield "deletion", *span(node), "pass"


def _operator(node: ast.AST, start: int, end: int, source: str) -> Iterator[tuple[str, int, int, str]]:
    kind, today, other = OPERATORS.get(type(node), ("", "", ""))
    between = source[start:end]  # may hold brackets, line breaks and comments
    if kind and between.count(today) == 1 and "#" not in between:
        yield kind, start + between.index(today), start + between.index(today) + len(today), other


def _call_edits(node: ast.Call, source: str, span: Span) -> Iterator[tuple[str, int, int, str]]:
    if isinstance(node.func, ast.Attribute) and node.func.attr in CASTS:
        yield "cast", span(node.func)[1] - len(node.func.attr) - 1, span(node)[1], ""
    if isinstance(node.func, ast.Name) and node.func.id in CAST_FUNCTIONS and len(node.args) == 1:
        yield "cast", *span(node), f"({source[slice(*span(node.args[0]))]})"
    ends = [span(arg) for arg in node.args[:2] if not isinstance(arg, ast.Starred | ast.JoinedStr | ast.Constant)]
    if len(ends) == 2 and ast.dump(node.args[0]) != ast.dump(node.args[1]):
        (start, middle), (other, end) = ends
        yield "arguments", start, end, source[other:end] + source[middle:other] + source[start:middle]


def _is_update(node: ast.AST) -> bool:
    """x = f(x), or x[i] = y: without it the program still runs."""
    if not isinstance(node, ast.Assign) or len(node.targets) != 1:
        return False
    target = node.targets[0]
    names = {name.id for name in ast.walk(node.value) if isinstance(name, ast.Name)}
    return isinstance(target, ast.Subscript) or (isinstance(target, ast.Name) and target.id in names)


def _is_command(node: ast.AST) -> bool:
    """A call whose value is not used; a line that is printed decides nothing, and without super() all would fail."""
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Call):
        return False
    return not re.match(r"print|super", ast.unparse(node.value.func))


def mirrored_tests(root: Path, path: Path) -> list[str]:
    """Return the test files that carry the module's name or import it, else those of the modules that import it."""
    files = sorted((root / "tests").rglob("test_*.py"))
    if not (tests := _find_importers(root, path, files, path.stem)):
        users = _find_importers(root, path, sorted((root / SOURCE / path.parts[2]).rglob("*.py")), "")
        tests = sorted({test for user in users for test in _find_importers(root, user, files, user.stem)})
    return [str(test) for test in tests]


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
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen(command, cwd=copy, env=environment, start_new_session=True, **pipes)
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


def draw(root: Path, seed: int, count: int) -> tuple[list[Mutant], int]:
    """Return `count` changes, drawn alike from all places of all packages, and the number of places."""
    files = [file for package in PACKAGES for file in sorted((root / SOURCE / package).rglob("*.py"))]
    every = [one for file in files for one in list_mutants(file.relative_to(root), file.read_text(encoding="utf-8"))]
    random.Random(seed).shuffle(every)
    return list(islice(filter(_parses, every), count)), len(every)


def _parses(mutant: Mutant) -> bool:
    try:
        ast.parse(mutant.apply())
    except SyntaxError:
        return False
    return True


def show(mutant: Mutant) -> str:
    """Return the place, and its line before and after."""
    texts = (text.splitlines()[mutant.line - 1] for text in (mutant.source, mutant.apply()))
    lines = [text.strip()[:110].replace("|", "\\|") for text in texts]
    return f"`{mutant.path.relative_to(SOURCE)}:{mutant.line}` | {mutant.kind} | `{lines[0]}` → `{lines[1]}`"


def report(mutants: list[Mutant], killers: list[str], places: int, seed: int) -> str:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout
    noticed = sum(map(bool, killers))
    lines = [
        "# Small changes that the quick tests notice", "",
        f"`python benchmarks/mutants.py --seed {seed} --count {len(mutants)}`, {datetime.date.today()}, commit "
        f"{commit.strip()}: {len(mutants)} of {places:,} places.", "",
        f"**{noticed} of {len(mutants)} noticed ({100 * noticed / len(mutants):.0f} %)** by the test files that import "
        "the module or carry its name. Slow and GPU tests did not run.", "",
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
        REPORT.write_text(report(mutants, killers, places, args.seed) + BY_HAND + by_hand, encoding="utf-8")


if __name__ == "__main__":
    main()
