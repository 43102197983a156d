"""A new table whose rows cannot run is not written; what else is wrong is named with its remedy."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from lineage.cli.main import main

FROM = ["--from", "mask_rcnn/table2c/roi_align"]
MINI = ["--with", "model=mask_rcnn", "dataset=shapes", "--tier", "mini"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own whose tables lie over the shipped ones."""
    folder = tmp_path / "experiments" / "me"
    folder.mkdir(parents=True)
    (folder / "first.yaml").write_text("{}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_refused_table_leaves_the_former_file(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = project / "experiments/new/roi.yaml"
    wrong = ["new", "new/roi", *MINI, "--vary", "optimizer.lr=a,b", "--overwrite"]
    assert main(wrong) == 1
    assert not path.parent.exists()
    assert main(["new", "new/roi", *MINI, "--vary", "optimizer.lr=0.1,0.2"]) == 0
    text = path.read_text()
    assert main(wrong) == 1
    assert path.read_text() == text
    path.write_text(text.replace("0.2", "b"))  # typed into the file later
    assert main(["lint", "new/roi"]) == 1
    assert "optimizer.lr=b: optimizer.lr is a number" in capsys.readouterr().out


def test_what_a_file_has_to_say_is_named_in_place_of_a_run(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A message of two sentences is mended in the file, which therefore stays."""
    assert main(["new", "me/roi", *MINI, "--vary", "roi=pool,align", "--message", "One. Two."]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("fix  ")
    assert last.endswith("; then: lineage lint me/roi")
    assert "--message" in last


def test_rows_that_are_alike_at_tier_mini_are_not_run_there(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The printed command writes the ablation with values of that tier, which differ."""
    assert main(["new", "me/rate", *FROM, "--vary", "optimizer.lr=0.01,0.02"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3] == "next     lineage run me/rate --plan"
    assert "do not show at tier mini" in lines[-2]
    assert main(shlex.split(lines[-1])[1:]) == 0
    printed = capsys.readouterr().out
    assert "0 errors, 0 warnings" in printed
    assert printed.splitlines()[-1] == "next     lineage run me/rate --plan"


def test_a_value_of_a_wrong_type_in_a_file_is_one_line_at_every_tier(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Hydra's own message names the file of the row in place of the key, in five lines."""
    assert main(["new", "me/roi", *MINI, "--vary", "roi=pool,align"]) == 0
    path = project / "experiments/me/roi.yaml"
    path.write_text(path.read_text().replace("{roi: pool}", "{roi: pool}, set: {schedule.steps: three}"))
    for more in ([], ["--tier", "mini"]):
        capsys.readouterr()
        assert main(["lint", "me/roi", *more]) == 1
        assert "      pool: schedule.steps=three: schedule.steps is a whole number\n" in capsys.readouterr().out


def test_a_project_with_tables_alone_has_the_shipped_datasets(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "stats", "shapes", "dataset.val.length=2", "--split", "val"]) == 0
    assert "shapes val: 2 images" in capsys.readouterr().out
    assert main(["data", "stats", "shapess"]) == 1
    assert "Did you mean shapes" in capsys.readouterr().err
