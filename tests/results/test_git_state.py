from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lineage.results import git_state


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/a.py").write_text("a = 1\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "--quiet", "-m", "x")
    return tmp_path


def test_clean(checkout: Path) -> None:
    (checkout / "notes.txt").write_text("not code")
    (checkout / "experiments").mkdir()
    (checkout / "experiments/table.yaml").write_text("not code either: it stands in the config")
    state = git_state.current(checkout)
    assert (len(state.commit or ""), state.dirty, state.diff) == (40, False, None)


def test_the_diff_of_a_dirty_checkout_restores_it(checkout: Path) -> None:
    (checkout / "src/a.py").write_text("a = 2\n")
    (checkout / "src/b.py").write_text("b = 1\n")
    before = git_state.current(checkout)
    assert before.dirty
    git(checkout, "stash", "--include-untracked", "--quiet")
    assert not git_state.current(checkout).dirty
    subprocess.run(["git", "-C", str(checkout), "apply"], input=before.diff, text=True, check=True)
    assert git_state.current(checkout) == before


def test_a_copy_without_git_is_dirty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state.current(tmp_path) == git_state.Commit(None, True, None)


def test_leases_of_this_checkout_are_ignored() -> None:
    root = Path(__file__).parents[2]
    if git_state.current(root).commit is None:
        pytest.skip("not a git checkout")
    git(root, "check-ignore", "results/.leases/train-a.1.lease")


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True)
