"""The words of the code, as far as a machine can judge them: locals named by what they hold, plain docstrings, verbs.

CONTRIBUTING.md ("How the code reads") has the rules. Each is tried below on sources that must fail.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Names that fit any value: a reader has to look up what they hold.
VAGUE = {"found", "told", "made", "held", "seen", "kept", "known", "given", "said", "asked", "wanted", "one", "some",
         "each"}  # fmt: skip
NOT_FIRST = re.compile(
    r"(What|Which|Who|Whose|Whom|Whoever|Where|Wherever|Whether|When|Of|As|With|Without|That|Than|Likewise|How|Why|From"
    r"|To|In|On|For|By|Because|Nothing|Nobody|Else|But|And|Or|Only|Also|So)\b|\.\.\."
)
PARTICIPLES = {"found", "told", "made", "held", "seen", "kept", "known", "given", "said", "drawn", "shown", "chosen",
               "written", "begun", "understood"}  # fmt: skip
NO_PARTICIPLE = {"need", "feed", "seed", "embed", "speed", "red", "bleed", "fixed", "bounded"}


Breach = Iterator[tuple[int, str]]  # (line, what is wrong and what would be right)


def vague_names(tree: ast.Module) -> Breach:
    """`one` may stand in a comprehension, whose line says what it is."""
    comprehensions = [node for node in ast.walk(tree) if isinstance(node, ast.comprehension)]
    short = {id(name) for node in comprehensions for name in ast.walk(node.target)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in VAGUE:
            if not (node.id == "one" and id(node) in short):
                yield node.lineno, f"the variable {node.id} fits any value: name it by what it holds"
        elif isinstance(node, ast.arg) and node.arg in VAGUE:
            yield node.lineno, f"the argument {node.arg} fits any value: name it by what it holds"


def docstrings_that_do_not_name(tree: ast.Module) -> Breach:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            text = ast.get_docstring(node) or ""
            if NOT_FIRST.match(text):
                yield (
                    node.lineno,
                    f"{node.name}: begin with a verb, Return, or the noun of a class: {text[:60]}",
                )


def functions_that_are_no_verbs(tree: ast.Module) -> Breach:
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef) or any("property" in ast.unparse(d) for d in node.decorator_list):
            continue
        word = node.name.lstrip("_").split("_")[0]
        if word in PARTICIPLES or (word.endswith("ed") and word not in NO_PARTICIPLE):
            yield node.lineno, f"{node.name}: functions are verbs"


RULES: list[Callable[[ast.Module], Breach]] = [vague_names, docstrings_that_do_not_name, functions_that_are_no_verbs]


@pytest.mark.parametrize("rule", RULES)
def test_the_package_keeps(rule: Callable[[ast.Module], Breach]) -> None:
    broken = [
        f"{path.relative_to(ROOT)}:{line} {text}"
        for path in sorted((ROOT / "src").rglob("*.py"))
        for line, text in rule(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not broken, "\n" + "\n".join(broken)


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        (vague_names, "found = read()"),
        (vague_names, "def f(told): ..."),
        (vague_names, "for one in boxes: print(one)"),
        (docstrings_that_do_not_name, 'def f():\n    """What is left."""'),
        (docstrings_that_do_not_name, 'class A:\n    """Of a run, the end."""'),
        (functions_that_are_no_verbs, "def composed(): ..."),
        (functions_that_are_no_verbs, "def _told(): ..."),
    ],
)
def test_a_breach_is_found(rule: Callable[[ast.Module], Breach], source: str) -> None:
    assert list(rule(ast.parse(source)))


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        (vague_names, "boxes = [one.box for one in annotations]"),
        (docstrings_that_do_not_name, 'def f():\n    """Return what is left."""'),
        (functions_that_are_no_verbs, "def compose(): ...\n@property\ndef trained(self): ...\ndef need(): ..."),
    ],
)
def test_what_is_right_passes(rule: Callable[[ast.Module], Breach], source: str) -> None:
    assert not list(rule(ast.parse(source)))
