"""A store looked after: damage is found, merging is copying, corrections add and never delete."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from lineage.cli.main import main
from lineage.results import integrity, store
from lineage.results.store import StoreError
from lineage.tables.format.load import load_contents
from lineage.tables.samples import drop_superseded
from tests.tables import made


def reasons(root: Path) -> list[str]:
    return [damage.reason for damage in integrity.verify(root)[1]]


def test_references_that_lead_nowhere(tmp_path: Path) -> None:
    store.write(made.entry(parents=["20261123T040305Z-a3d31b8b-000000"]), tmp_path)
    store.write(made.entry(seed=1, supersedes="20261123T040305Z-a3d31b8b-111111"), tmp_path)
    assert [reason.split()[:2] for reason in reasons(tmp_path)] == [["its", "parent"], ["it", "corrects"]]


def test_a_ring_of_corrections(tmp_path: Path) -> None:
    a, b = made.entry(), made.entry(seed=1)
    store.write(replace(a, supersedes=b.id), tmp_path)
    store.write(replace(b, supersedes=a.id), tmp_path)
    assert reasons(tmp_path) == ["it corrects an entry that in the end corrects it"] * 2


def test_copies_and_edited_names(tmp_path: Path) -> None:
    path = store.write(made.entry(), tmp_path)
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(path, tmp_path / "elsewhere")
    assert "there are 2 files of this name" in reasons(tmp_path)
    shutil.rmtree(tmp_path / "elsewhere")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"config_digest": "b" * 64, "content_sha256": ""}))
    assert reasons(tmp_path) == ["its config digest is bbbbbbbb, unlike in its name: edited by hand?"]


@pytest.mark.parametrize(
    "changes", [{"metrics": {"mask/AP": 31.0}}, {"seed": 7}, {"config": {"seed": 1}}, {"note": "."}]
)
def test_an_edited_entry_is_named(tmp_path: Path, changes: dict[str, object]) -> None:
    """A metric edited by hand passed before."""
    path = store.write(made.entry(), tmp_path)
    assert (reasons(tmp_path), integrity.count_without_digest(tmp_path)) == ([], 0)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes, indent=1))
    (reason,) = reasons(tmp_path)
    assert reason.startswith("its content is not what was written")


@pytest.mark.parametrize("row", ["new", None])
def test_who_shows_an_edited_entry_says_so(row: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = store.write(made.entry(row), tmp_path)
    folder = path.parent.parent
    shown = (lambda: load_contents(folder), lambda: main(["show", path.stem, "--results", str(tmp_path)]))
    for show in shown:
        show()
        assert "edited" not in capsys.readouterr().err
    path.write_text(json.dumps(json.loads(path.read_text()) | {"metrics": {"mask/AP": 31.0}}, indent=1) + "\n")
    for show in shown:
        show()
        assert f"{path}: its content is not what was written" in capsys.readouterr().err


def test_an_entry_from_before_digests_is_counted_and_no_damage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = store.write(made.entry(), tmp_path)
    record = json.loads(path.read_text())
    del record["content_sha256"]
    path.write_text(json.dumps(record | {"v": 4}, indent=1))
    assert (reasons(tmp_path), integrity.count_without_digest(tmp_path)) == ([], 1)
    store.write(made.entry(seed=1), tmp_path)
    assert main(["store", "verify", "--results", str(tmp_path)]) == 0
    text = "2 entries whole (1 checked, 1 without a digest: written before it was recorded), 0 files damaged"
    assert text in capsys.readouterr().out
    shipped = Path(__file__).parents[2] / "results"
    assert integrity.verify(shipped) == (len(list(shipped.rglob("[0-9]*.json"))), [])


def test_merge(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    both, theirs, other = made.entry(), made.entry(seed=1), made.entry(seed=2)
    for root, entries in ((here, [both, other]), (there, [both, theirs, replace(other, note="changed")])):
        for entry in entries:
            store.write(entry, root)
    (there / "paper/table/new/20261123T040305Z-a3d31b8b-torn00.json").write_text("{")
    done = integrity.merge(there, here)
    assert (done.copied, done.present, len(done.refused)) == (1, 1, 2)
    assert {entry.id for entry in store.contents(here).entries} == {both.id, theirs.id, other.id}
    assert integrity.verify(here) == (3, [])
    with pytest.raises(StoreError, match="is no folder"):
        integrity.merge(tmp_path / "nothing", here)


def test_a_correction_takes_the_place_of_an_entry(tmp_path: Path) -> None:
    old = made.entry(value=99.0)
    store.write(old, tmp_path)
    integrity.correct(tmp_path, old, "a typo", {"mask/AP": 30.0}, withdraw=False)
    (valid,) = drop_superseded(store.contents(tmp_path).entries)
    assert (valid.metrics, valid.supersedes, valid.seed, valid.note) == (
        {"mask/AP": 30.0}, old.id, old.seed, "correction: a typo",
    )  # fmt: skip
    assert store.read(store.find(tmp_path, old.id)) == old
    with pytest.raises(StoreError, match="corrected already"):
        integrity.correct(tmp_path, old, "again", {}, withdraw=True)
    integrity.correct(tmp_path, valid, "wrong images", {}, withdraw=True)
    assert [entry.status for entry in drop_superseded(store.contents(tmp_path).entries)] == ["failed"]
    assert integrity.verify(tmp_path) == (3, [])


@pytest.mark.parametrize(
    ("note", "metrics", "withdraw", "says"),
    [
        ("", {}, True, "say why"),
        ("x", {}, False, "or --withdraw"),
        ("x", {"mask/AP": 1.0}, True, "or --withdraw"),
        ("x", {"mask/APP": 1.0}, False, "has no metric 'mask/APP'"),
    ],
)
def test_a_correction_says_what_and_why(
    tmp_path: Path, note: str, metrics: dict[str, float], withdraw: bool, says: str
) -> None:
    with pytest.raises(StoreError, match=says):
        integrity.correct(tmp_path, made.entry(), note, metrics, withdraw)
