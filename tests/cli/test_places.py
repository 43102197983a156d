"""A place that a command cannot write to is one line with the file, never a traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lineage.cli import main
from lineage.results import disk
from lineage.results.paths import ROOT

PROC = Path("/proc/lineage_test")  # takes no files, not even from root
IN_THE_WAY = "a file of this name is in the way"
NOT_THERE = "no file or folder can be made there"

needs_proc = pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="a system without /proc")


def refuse(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main.main([str(argument) for argument in arguments]) == 1
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    "command",
    [
        ("table", "mask_rcnn/table2c", "--out"), ("site", "--out"), ("quote", "mask_rcnn/table2c", "--out"),
        ("paper", "rcnn", "--out"), ("data", "show", "shapes", "--count", "1", "--out"),
        ("data", "stats", "shapes", "dataset.train.length=9", "--split", "train", "--plot"),
    ],
)  # fmt: skip
def test_a_folder_that_is_a_file_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: tuple[str, ...]
) -> None:
    (tmp_path / "file").touch()
    line = refuse(capsys, *command, tmp_path / "file" / "x.png")
    assert line.startswith(str(tmp_path / "file"))
    assert IN_THE_WAY in line or "a part of the path is a file" in line
    assert line.endswith(f"Choose another place: {command[-1]} PATH")


@needs_proc
@pytest.mark.parametrize("command", [("table", "rcnn/table2", "--out"), ("quote", "rcnn/table2", "--out")])
def test_a_place_that_takes_no_files_is_named(capsys: pytest.CaptureFixture[str], command: tuple[str, ...]) -> None:
    assert refuse(capsys, *command, PROC) == f"{PROC}: {NOT_THERE}. Choose another place: --out PATH"


def test_a_folder_where_a_file_is_to_be_written_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    line = refuse(capsys, "table", "rcnn/table2", f"--out={tmp_path}")
    assert line == f"{tmp_path}: that is a folder, not a file. Choose another place: --out PATH"


def test_the_place_of_pictures_is_named_and_not_a_picture_beside_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, run: Path
) -> None:
    (tmp_path / "a.jpg").touch()
    line = refuse(capsys, "predict", tmp_path / "a.jpg", "--weights", run, "--out", tmp_path / "a.jpg")
    assert line == f"{tmp_path / 'a.jpg'}: {IN_THE_WAY}. Choose another place: --out PATH"


def test_the_option_that_names_the_place_is_named_and_none_beside_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("README.md").touch()
    with pytest.raises(FileExistsError) as raised:
        Path("README.md").mkdir()
    line = disk.explain_for_command(raised.value, ["--weights", "last", "--out", "README.md"])
    assert line is not None
    assert line.endswith("Choose another place: --out PATH")


@needs_proc
@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_an_export_is_refused_before_the_model_is_captured(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, run: Path, suffix: str
) -> None:
    monkeypatch.setattr("lineage.run.inference.export.capture", lambda *_: pytest.fail("captured"))
    path = PROC.with_suffix(suffix)
    assert refuse(capsys, "export", run, path) == f"{path}: {NOT_THERE}. Choose another place"


@needs_proc
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_that_cannot_be_written_are_named(capsys: pytest.CaptureFixture[str], run: Path, suffix: str) -> None:
    path = PROC.with_suffix(suffix)
    line = refuse(capsys, "weights", "convert", run / "weights.pt", path, "--to", "lineage")
    assert line == f"{path}: {NOT_THERE}. Choose another place"


def test_an_input_that_is_missing_is_no_place(tmp_path: Path) -> None:
    """An error of reading may be a fault of the program: it is raised."""
    with pytest.raises(FileNotFoundError) as raised:
        (tmp_path / "missing").read_text(encoding="utf-8")
    assert disk.explain_for_command(raised.value, []) is None


@pytest.mark.parametrize("key", ["hydra.run.dir", "paths.runs"])
def test_a_run_folder_that_cannot_be_made_is_one_line(tmp_path: Path, key: str) -> None:
    (tmp_path / "file").touch()
    command = [sys.executable, ROOT / "train.py", f"{key}={tmp_path / 'file' / 'x'}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "a part of the path is a file" in done.stderr


@needs_proc
@pytest.mark.parametrize("key", ["paths.results", "paths.runs", "hydra.run.dir"])
def test_the_key_of_a_folder_that_a_run_cannot_make_is_named(tmp_path: Path, key: str) -> None:
    places = {"paths.results": tmp_path / "results", "paths.runs": tmp_path / "runs"} | {key: PROC}
    command = [sys.executable, "-m", "lineage.cli.main", "train", "schedule.steps=1"]
    done = subprocess.run(
        [*command, *(f"{name}={path}" for name, path in places.items())], capture_output=True, text=True, cwd=tmp_path
    )
    line = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert line.startswith(str(PROC))
    assert line.endswith(f": {NOT_THERE}. Choose another folder: {key}=FOLDER")
    assert "Traceback" not in done.stderr


def test_the_key_of_a_default_folder_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs").touch()
    with pytest.raises(NotADirectoryError) as raised:
        Path("runs/a/b").mkdir()
    lines = [disk.explain_for_run(raised.value, overrides) for overrides in ([], ["hydra.run.dir='runs/a'"])]
    assert [str(line).rpartition(": ")[2] for line in lines] == ["paths.runs=FOLDER", "hydra.run.dir=FOLDER"]
