"""Small answers that a newcomer waits for."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineage.cli.main import main
from lineage.config.build import ConfigError
from lineage.config.resume_overrides import read_start
from lineage.results.run_folder import RunFolder


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
