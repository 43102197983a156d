"""Which code ran: the commit, and the difference to it if there was one. Only paths that can change a result count."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

CODE = ("train.py", "src", "conf", "experiments", "pyproject.toml", "requirements.lock")


@dataclass(frozen=True)
class Commit:
    commit: str | None  # None outside a git checkout
    dirty: bool
    diff: str | None  # None when clean


def current(root: Path) -> Commit:
    """The state of the checkout that holds `root`; a copy without git is dirty, for nobody can tell what it is."""
    head = _git(root, "rev-parse", "HEAD")
    if head is None:
        return Commit(None, True, None)
    changed = _git(root, "diff", "HEAD", "--", *_present(root)) or ""
    added = _git(root, "ls-files", "--others", "--exclude-standard", "--", *_present(root)) or ""
    diff = changed + "".join(_as_new(root, name) for name in added.splitlines())
    return Commit(head.strip(), bool(diff), diff or None)


def same(root: Path, one: str, other: str) -> bool | None:
    """Do two commits agree in all that can change a result? None where the checkout does not know one of them."""
    if _git(root, "cat-file", "-e", one) is None or _git(root, "cat-file", "-e", other) is None:
        return None
    return _git(root, "diff", "--name-only", one, other, "--", *CODE) == ""


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
