"""Every way to name the weights of an earlier run names it as the parent, whose training is that of a test."""

from __future__ import annotations

from pathlib import Path

import pytest

import lineage.config.schema  # noqa: F401  registers the schema
from lineage.config.compose import compose_config
from lineage.results import store
from lineage.results.entry import Entry, dump
from lineage.results.run_folder import RunFolder
from lineage.run.parents import Parents, resolve_parents
from tests.tables import made


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Entry:
    """Return the entry of a run that left weights and proposals in runs/a."""
    monkeypatch.chdir(tmp_path)
    folder = RunFolder(tmp_path / "runs" / "a")
    entry = made.entry(folder=str(folder.path))
    folder.proposals.mkdir(parents=True)
    folder.weights.touch()
    folder.entry.write_text(dump(entry))
    store.write(entry, "results")
    return entry


def resolve(*overrides: str) -> Parents:
    return resolve_parents(compose_config(["paths.results=results", *overrides]))


@pytest.mark.parametrize("folder", ["runs/a", "runs/a/", "runs/a/weights.pt"])
def test_a_run_folder_and_its_weights_name_the_same_parent(trained: Entry, folder: str) -> None:
    assert resolve(f"weights={folder}").ids == [trained.id]
    tested = resolve(f"weights={folder}", "evaluate_only=true")
    assert (tested.ids, tested.training_digest) == ([trained.id], trained.training_digest or trained.id)
    assert resolve(f"weights={Path(folder).absolute()}").ids == [trained.id]


def test_proposals_name_the_run_that_they_lie_in(trained: Entry) -> None:
    assert resolve("proposals=file", "proposals.folder=runs/a/proposals").ids == [trained.id]


def test_a_run_without_final_weights_is_no_parent(trained: Entry) -> None:
    """Its folder stands for a checkpoint in the middle, which the digest of the whole training does not describe."""
    Path("runs/a/weights.pt").unlink()
    assert resolve("weights=runs/a").ids == []
