"""Mutations: every small change of a Python file that can change a result, as text; benchmarks/mutants.py tries them.

mutmut 3 forks after torch has started its threads and leaves code outside of functions alone; cosmic-ray has no change
that drops a cast or swaps arguments, and a single test command for all changes.
"""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

SOURCE = Path("src/lineage")
# Changes of each package in a hundred, as in the first review of the tests: weighted to what decides a result.
PACKAGES = {"ops": 14, "models": 24, "eval": 19, "tables": 19, "data": 13, "train": 5, "weights": 3, "launch": 3}
DISPLAY = (  # print, plot or suggest; a change there shows to a person and decides no result
    "tables/format/*", "tables/paper/*", "tables/suggest.py", "tables/draft.py", "data/stats_plot.py",
    "data/preview.py", "launch/overview.py", "train/progress.py", "train/startup_message.py",
)  # fmt: skip
ON_A_GPU = ("ops/*_cuda.py", "ops/layers/*_cuda.py", "ops/layers/cudnn.py", "train/engines/step_graph.py")
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


def draw(root: Path, seed: int, count: int, packages: list[str]) -> tuple[list[Mutant], int]:
    """Return `count` changes, a share of each package, and the number of places in files that decide results."""
    chance, places = random.Random(seed), 0
    drawn: list[Mutant] = []
    for package in packages:
        mutants = _list_package(root, package)
        places += len(mutants)
        chance.shuffle(mutants)
        share = PACKAGES[package] / sum(map(PACKAGES.__getitem__, packages))
        drawn += islice(filter(_parses, mutants), round(count * share))
    return drawn, places


def _list_package(root: Path, package: str) -> list[Mutant]:
    files = [file.relative_to(root) for file in sorted((root / SOURCE / package).rglob("*.py"))]
    left_out = [file for file in files for rule in (*DISPLAY, *ON_A_GPU) if file.relative_to(SOURCE).match(rule)]
    decisive = [file for file in files if file not in left_out]
    return [mutant for file in decisive for mutant in list_mutants(file, (root / file).read_text(encoding="utf-8"))]


def _parses(mutant: Mutant) -> bool:
    try:
        ast.parse(mutant.apply())
    except SyntaxError:
        return False
    return True
