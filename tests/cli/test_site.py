"""`lineage site`: which folders it takes for a store, and what it leaves alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lineage.cli.main import main
from tests.report.site.stores import make_entry, write_store


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a store of one run and its site, and a project of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments").mkdir()
    (tmp_path / "train.py").touch()
    write_store(tmp_path / "results", [make_entry()])
    assert main(["site"]) == 0
    return tmp_path


@pytest.mark.parametrize("content", ["nothing", "a file of something else", "the folder of runs"])
def test_a_folder_that_is_no_store_leaves_the_site_alone(
    project: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = project / "named"
    folder.mkdir()
    if content == "a file of something else":
        (folder / "settings.json").write_text("{}")
    elif content == "the folder of runs":
        (folder / "a run").mkdir()
        shutil.copyfile(next((project / "results").rglob("*.json")), folder / "a run" / "entry.json")
    before = {path: path.read_bytes() for path in (project / "runs" / "site").rglob("*") if path.is_file()}

    capsys.readouterr()
    assert main(["site", "named"]) == 1

    error = capsys.readouterr().err
    assert error.startswith("named: no store")
    assert "`lineage site`" in error
    assert before == {path: path.read_bytes() for path in (project / "runs" / "site").rglob("*") if path.is_file()}


def test_stores_without_runs_have_a_site_if_they_are_the_default(project: Path) -> None:
    shutil.rmtree(project / "results")
    (project / "results").mkdir()
    assert main(["site"]) == 0
    assert main(["site", "results"]) == 0


def test_a_store_elsewhere_has_a_site(project: Path) -> None:
    write_store(project / "elsewhere", [make_entry(2)])
    assert main(["site", "elsewhere", "--out", "compared"]) == 0
    assert (project / "compared" / "index.html").is_file()
