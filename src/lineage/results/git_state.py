"""The code of a run: its commit, and the difference to the commit if there was one. Only files that compute count.

Tables (experiments/) do not: the changes of a row stand in the config of its entry.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

CODE = ("train.py", "src", "conf", "pyproject.toml", "requirements.lock")
COMPUTING = tuple(f"src/lineage/{name}" for name in ("models", "ops", "eval", "data", "train"))


@dataclass(frozen=True)
class Commit:
    commit: str | None  # None outside a git checkout
    dirty: bool
    diff: str | None  # None when clean


def current(root: Path) -> Commit:
    """Return the state of the checkout at `root`. A copy without git is dirty, because its code cannot be looked up."""
    head = _git(root, "rev-parse", "HEAD")
    if head is None:
        return Commit(None, True, None)
    changed = _git(root, "diff", "HEAD", "--", *_present(root)) or ""
    added = _git(root, "ls-files", "--others", "--exclude-standard", "--", *_present(root)) or ""
    diff = changed + "".join(_as_new(root, name) for name in added.splitlines())
    return Commit(head.strip(), bool(diff), diff or None)


def same_code(root: Path, commit: str, other: str) -> bool | None:
    """Return whether the code of two commits is equal, or None if the checkout lacks one of them."""
    if _git(root, "cat-file", "-e", commit) is None or _git(root, "cat-file", "-e", other) is None:
        return None
    return _git(root, "diff", "--name-only", commit, other, "--", *CODE) == ""


def order_commits(root: Path, commits: Iterable[str]) -> list[str]:
    """Return those of the commits that the checkout has, by the number of their ancestors: no clock orders them."""
    counts = {commit: _git(root, "rev-list", "--count", commit) for commit in sorted(commits)}
    return sorted((commit for commit, count in counts.items() if count), key=lambda commit: int(counts[commit] or 0))


def count_changes(root: Path, commit: str) -> int | None:
    """Return the number of files that compute and differ between a commit and the checkout; None without the commit."""
    names = _git(root, "diff", "--name-only", commit, "--", *COMPUTING)
    return None if names is None else len(names.splitlines())


def only_code(diff: str | None) -> str | None:
    """Return the part of a diff that is about code: entries of before 2026-11-26 hold changes of tables, too."""
    files = re.split(r"(?m)^(?=diff --git )", diff or "")
    return "".join(text for text in files if not text.startswith("diff --git a/experiments/")) or None


def stash_command(root: Path) -> str:
    """Return the command that puts changes of the code away, and nothing else: results and runs stay."""
    return shlex.join(["git", "stash", "push", "--include-untracked", "--", *_present(root)])


def _present(root: Path) -> list[str]:
    return [name for name in CODE if (root / name).exists()]


def _as_new(root: Path, name: str) -> str:
    """An untracked file as a patch, so that `git apply` of the whole diff restores it."""
    return _git(root, "diff", "--no-index", "--", "/dev/null", name) or f"# untracked: {name}\n"


def _git(root: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    differs = arguments[0] == "diff" and done.returncode == 1  # `--no-index` answers like diff: 1 is "they differ"
    return done.stdout if done.returncode == 0 or differs else None
