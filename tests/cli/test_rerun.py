"""Repeating a run, on a project whose train.py is ten lines."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from lineage.cli import rerun
from lineage.launch.rerun import RerunError, compare_runs, explain_code_difference, original_overrides, repeat_run
from lineage.results import git_state, store
from lineage.results.git_state import Commit
from tests.tables import made

TESTS = Path(__file__).parents[2]
TRAIN = f"""
    import sys
    sys.path.insert(0, {str(TESTS)!r})
    from lineage.results import git_state, store
    from tests.tables import made
    given = dict(text.split("=", 1) for text in sys.argv[1:])
    here = git_state.current(__import__("pathlib").Path(__file__).parent)
    value = 0.1 + float(given.get("lr", 0)) + (0.5 if given["paths.results"] != "results" and "drift" in given else 0)
    code = {{"commit": here.commit, "dirty": here.dirty, "diff": here.diff}}
    entry = made.entry(None, value, int(given["seed"]), command=sys.argv, **code)
    store.write(entry, given["paths.results"].strip('"'))
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments/tiers.yaml").write_text("{}")
    (tmp_path / "train.py").write_text(dedent(TRAIN))
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    commit_all(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def commit_all(project: Path) -> None:
    for command in ("add -A -- :!results :!runs", "-c user.name=t -c user.email=t@example.org commit -qm x"):
        subprocess.run(["git", *command.split()], cwd=project, check=True)


def run(project: Path, *overrides: str) -> str:
    subprocess.run([sys.executable, "train.py", "paths.results=results", "seed=3", *overrides], cwd=project, check=True)
    return store.contents(project / "results").entries[-1].id


def test_equal(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = run(project, "lr=0.2")
    assert rerun.main([name]) == 0
    assert "EQUAL: 1 metrics, bit by bit" in capsys.readouterr().out
    assert len(store.contents(project / "results").entries) == 1  # a repetition is not another sample


def test_different(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = run(project, "drift=1")
    assert rerun.main([name]) == 1
    assert "mask/AP: 0.1 -> 0.6" in capsys.readouterr().out


def test_other_code_is_refused_unless_allowed(project: Path) -> None:
    name = run(project)
    (project / "train.py").write_text((project / "train.py").read_text() + "\n# changed\n")
    with pytest.raises(RerunError, match="git stash"):
        rerun.main([name])
    assert rerun.main([name, "--allow-dirty"]) == 0


def test_the_advice_puts_the_code_away_and_leaves_the_results(project: Path) -> None:
    name = run(project)
    (project / "train.py").write_text((project / "train.py").read_text() + "\n# changed\n")
    with pytest.raises(RerunError) as info:
        rerun.main([name])
    advice = str(info.value).partition("Put them away: ")[2].partition("\n")[0]
    subprocess.run(advice, shell=True, cwd=project, check=True)
    assert store.find(project / "results", name).is_file()
    assert rerun.main([name]) == 0


def test_an_unsaved_table_is_no_other_code(project: Path) -> None:
    name = run(project)
    (project / "experiments/tiers.yaml").write_text("{mini: {}}")
    (project / "experiments/new.yaml").write_text("{}")
    assert rerun.main([name]) == 0
    older = replace(store.read(store.find(project / "results", name)), diff="diff --git a/experiments/a.yaml b/x\n+x\n")
    assert explain_code_difference(older, git_state.current(project)) is None


def test_another_commit_says_how_to_go_there() -> None:
    old = made.entry(commit="a" * 40, diff="+x\n", dirty=True)
    assert explain_code_difference(old, Commit("a" * 40, True, "+x\n")) is None
    message = explain_code_difference(old, Commit("b" * 40, False, None)) or ""
    assert f"git fetch --all && git switch --detach {'a' * 40} && lineage show {old.id} --diff | git apply" in message
    assert "changes" in (explain_code_difference(old, Commit("a" * 40, False, None)) or "")
    assert "without git" in (explain_code_difference(made.entry(commit=None), git_state.current(TESTS)) or "")


def test_a_commit_that_changed_no_code_is_no_other_code(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = run(project)
    (project / "README.md").write_text("new")
    commit_all(project)
    assert rerun.main([name]) == 0
    (project / "train.py").write_text((project / "train.py").read_text() + "\n# changed\n")
    commit_all(project)
    with pytest.raises(RerunError, match="Go there: git switch --detach"):
        rerun.main([name])


def test_another_protocol_is_not_compared() -> None:
    other = made.entry(config_digest="b" * 64, config={"seed": 1, "model": {"_target_": "x.RCNN", "size": 14}})
    is_equal, text = compare_runs(made.entry(), other)
    assert not is_equal
    assert "model.size: 7 -> 14" in text


def test_without_metrics_the_trained_weights_are_compared() -> None:
    """A run with dataset.val=null was EQUAL by 0 metrics, whatever it had trained."""
    old = made.entry(value=None, trained_weights_sha256="a" * 64)
    is_equal, text = compare_runs(old, old)
    assert is_equal
    assert text.startswith("EQUAL: the trained weights")
    is_equal, text = compare_runs(old, replace(old, trained_weights_sha256="b" * 64))
    assert not is_equal
    assert "trained_weights_sha256: " in text
    stopped = made.entry(value=None, status="stopped")
    is_equal, text = compare_runs(stopped, stopped)
    assert not is_equal
    assert text.startswith("NOT COMPARED")


def test_the_command_without_its_places(tmp_path: Path) -> None:
    command = ["train.py", "--config-name", "train", "lr=1", "~x", "logger=wandb", 'hydra.run.dir="a"', "paths.runs=b"]
    assert original_overrides(made.entry(command=command), tmp_path) == ["lr=1", "~x"]


def test_a_run_that_waits_for_metrics_is_repeated_with_its_evaluations(tmp_path: Path) -> None:
    command = ["train.py", "callbacks=[best]", "schedule.evaluate_every=6", "paths.runs=b"]
    kept = ["callbacks=[best]", "schedule.evaluate_every=6"]
    assert original_overrides(made.entry(command=command), tmp_path) == kept


def test_a_continued_run_is_repeated_from_its_beginning(tmp_path: Path) -> None:
    first = made.entry(None, status="stopped", command=["train.py", "lr=1"])
    store.write(first, tmp_path)
    second = made.entry(None, seed=1, command=["train.py", "resume=runs/x"], supersedes=first.id)
    assert original_overrides(second, tmp_path) == ["lr=1"]
    with pytest.raises(RerunError, match="left no entry"):
        original_overrides(made.entry(command=["train.py", "resume=runs/x"]), tmp_path)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (
            ["lineage", "latency", "runs/my run", "--threads", "1,2"],
            "again: lineage latency 'runs/my run' --threads 1,2",
        ),
        ([], "was imported"),
    ],
)
def test_an_entry_of_no_training_starts_none(project: Path, command: list[str], reason: str) -> None:
    """A training without overrides was started in place of it: that of the defaults."""
    entry = made.entry(None, command=command)
    store.write(entry, project / "results")
    with pytest.raises(RerunError, match=reason):
        rerun.main([entry.id, "--allow-dirty"])
    assert not (project / "runs").exists()


def test_a_test_of_a_checkpoint_finds_its_parent(project: Path) -> None:
    parent = made.entry(None, 1.0, 7)
    old = store.read(store.find(project / "results", run(project)))
    store.write(parent, project / "results")
    child = replace(old, id=f"{old.id[:-6]}abcdef", parents=[parent.id])
    again = repeat_run(child, ["seed=3"], project / "results")
    assert again.metrics == old.metrics
    assert store.find(next((project / "runs").iterdir()) / "results", parent.id).is_file()


def test_weights_that_an_entry_names_are_looked_up_in_its_store(project: Path) -> None:
    """The repetition has an empty store of its own: 'no entry named ... among the 0'."""
    parent = made.entry(None, folder=str(project / "runs/first"))
    (project / "runs/first").mkdir(parents=True)
    store.write(parent, project / "results")
    old = made.entry(command=["train.py", f"weights={parent.id[-6:]}", "lr=1"])
    assert original_overrides(old, project / "results") == ["weights=runs/first", "lr=1"]
    with pytest.raises(RerunError, match="weights=last, which names another run by now"):
        original_overrides(made.entry(command=["train.py", "weights=last"]), project / "results")
