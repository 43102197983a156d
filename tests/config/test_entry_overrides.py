"""Entries named on a command line are what they were when the run started."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import pytest

from lineage.config.entry_overrides import resolve_entries
from lineage.results import store
from lineage.results.entry import Entry
from tests.tables import made


@pytest.fixture
def entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Entry]:
    """Two runs, oldest first, in a project of their own."""
    monkeypatch.chdir(tmp_path)
    runs = [made.entry(seed=seed, folder=str(tmp_path / f"runs/20261123-04030{seed}")) for seed in range(2)]
    for run in runs:
        Path(run.folder or "").mkdir(parents=True)
        store.write(run, "results")
    return runs


@pytest.mark.parametrize("sign", ["", "+", "++"])
def test_weights_become_the_run_folder(entries: list[Entry], sign: str) -> None:
    old, new = entries
    names = {"last": 1, "'last~1'": 0, old.id: 0, old.id[-6:]: 0, f'"{new.id}"': 1}
    for name, number in names.items():
        expected = ["-m", f"{sign}weights=runs/20261123-04030{number}", "seed=1"]
        assert resolve_entries(["-m", f"{sign}weights={name}", "seed=1"]) == expected


def test_each_of_a_sweep_and_of_a_list(entries: list[Entry]) -> None:
    folders = "runs/20261123-040301,runs/20261123-040300"
    assert resolve_entries(["weights=last,last~1"]) == [f"weights={folders}"]
    assert resolve_entries([f"weights=[last,{entries[0].id}]"]) == [f"weights=[{folders}]"]


def test_a_parent_is_its_whole_id(entries: list[Entry]) -> None:
    assert resolve_entries(["cell.start=last"]) == [f"cell.start='{entries[1].id}'"]
    assert resolve_entries([f"cell.start={entries[1].id}"]) == [f"cell.start={entries[1].id}"]


@pytest.mark.parametrize(
    "text", ["weights=null", "weights=last~2", "weights='a,last.pt'", "weights=x.pth", "weights=https://x/last",
             "weights=ResNet50_Weights.DEFAULT", "weights=runs/20261123-040300", "model.name=last", "--info=last"],
)  # fmt: skip
def test_everything_else_stays(entries: list[Entry], text: str) -> None:
    assert resolve_entries([text]) == [text]


def test_the_store_is_the_typed_one(entries: list[Entry]) -> None:
    assert resolve_entries(["weights=last", "paths.results='elsewhere'"])[0] == "weights=last"
    Path("results").rename("elsewhere")
    assert resolve_entries(["weights=last", "paths.results='elsewhere'"])[0] == "weights=runs/20261123-040301"


def test_a_run_whose_folder_is_gone_stays(entries: list[Entry]) -> None:
    Path(entries[1].folder or "").rmdir()
    assert resolve_entries(["weights=last"]) == ["weights=last"]


def test_a_resumed_run_has_its_own_last(entries: list[Entry]) -> None:
    """By then, `last` may be the run that is resumed."""
    assert resolve_entries(["resume=runs/x", "weights=last", "seed=1"]) == ["resume=runs/x", "seed=1"]


def test_resume_becomes_the_run_folder(entries: list[Entry]) -> None:
    for name, number in {"last": 1, "last~1": 0, entries[0].id[-6:]: 0}.items():
        assert resolve_entries([f"resume={name}", "seed=1"]) == [f"resume=runs/20261123-04030{number}", "seed=1"]
    for text in ("resume=auto", "resume=null", "resume=runs/20261123-040300", "resume=last~2"):
        assert resolve_entries([text]) == [text]


@pytest.mark.parametrize(("seconds", "resumed"), [(1, "runs/x/0"), (-1, "runs/20261123-040301")])
def test_the_last_run_to_resume_may_be_one_without_an_entry(entries: list[Entry], seconds: int, resumed: str) -> None:
    """A killed run holds its lease still; one that was killed before the newest entry began is not the last."""
    lease = Path("runs/x/0/run.1.lease")
    lease.parent.mkdir(parents=True)
    lease.touch()
    os.utime(lease, times=(0, datetime.fromisoformat(entries[1].started).timestamp() + seconds))
    assert resolve_entries(["resume=last"]) == [f"resume={resumed}"]
    assert resolve_entries(["resume=last~1"]) == ["resume=runs/20261123-040300"]


def test_the_last_run_is_resumed_where_no_run_has_ended(entries: list[Entry]) -> None:
    Path("results").rename("elsewhere")
    assert resolve_entries(["resume=last"]) == ["resume=last"]
    Path("runs/20261123-040300/run.2.lease").touch()
    assert resolve_entries(["resume=last"]) == ["resume=runs/20261123-040300"]
