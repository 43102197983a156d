"""Small answers that a newcomer waits for."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineage.cli.data.picture_path import read_picture_path
from lineage.cli.main import main
from lineage.config.build import ConfigError
from lineage.config.resume_overrides import read_start
from lineage.results import store
from lineage.results.run_folder import RunFolder
from lineage.results.store import StoreError
from lineage.tables.find_entry import locate_run
from tests.tables.made import entry


def test_a_folder_without_pictures_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path, run: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["predict", str(tmp_path / "empty"), "--weights", str(run), "--out", str(tmp_path / "out")]) == 1
    assert f"{tmp_path / 'empty'}: holds no picture or video" in capsys.readouterr().err


def test_notes_that_are_counted_can_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    main(["lint", "mask_rcnn"])
    assert capsys.readouterr().out.splitlines()[-1].endswith("; --notes prints notes")


def test_a_foreign_run_folder_is_called_so(tmp_path: Path) -> None:
    (tmp_path / "start.json").write_text("{}")
    with pytest.raises(ConfigError, match="has no 'choices': damaged, or written by another program"):
        read_start(RunFolder(tmp_path))


def test_a_broken_entry_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "entry.json").write_text("{")
    assert main(["report", str(tmp_path)]) == 1
    assert f"{tmp_path / 'entry.json'} is damaged: not JSON" in capsys.readouterr().err


def test_last_is_the_folder_of_the_run_that_ended_last(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    store.write(entry(id="20260101T000000Z-00000000-000001", folder=str(folder)), tmp_path / "results")
    with pytest.raises(StoreError, match="and its run folder is not on this machine"):
        locate_run(Path("last"), tmp_path / "results")
    folder.mkdir()
    assert locate_run(Path("last"), tmp_path / "results") == locate_run(folder, tmp_path / "results") == folder
    assert locate_run(Path("nothing"), tmp_path / "results") == Path("nothing")


@pytest.mark.parametrize("option", [["show", "shapes", "--out"], ["stats", "shapes", "--plot"]])
def test_a_picture_is_no_page(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["data", *option, "x.html"])
    assert "x.html: a picture ends in .png, .jpg, .jpeg or .webp" in capsys.readouterr().err
    assert read_picture_path("samples") == Path("samples.png")


@pytest.mark.parametrize("action", [["verify", "--results"], ["merge"]])
def test_a_store_is_a_folder(action: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main(["store", *action, str(tmp_path / "file")]) == 1
    assert main(["store", *action, str(tmp_path / "absent")]) == 1
    err = capsys.readouterr().err
    assert "file: this is a file; name a folder of entries" in err
    assert "absent: no such folder" in err
