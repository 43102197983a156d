"""`last` is the newest run wherever a command takes a run folder, and what is written down is the folder."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from lineage.calibration.calibration_file import Calibration, read_calibration, write_calibration
from lineage.calibration.platt import Platt
from lineage.calibration.score_map import GroupedMap
from lineage.calibration.split import CalibrationError
from lineage.cli import calibrate, evaluate, explain, export, latency, predict
from lineage.config.build import ConfigError
from lineage.results import store
from lineage.results.entry import dump
from tests.tables import made


@pytest.fixture(autouse=True)
def project(run: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a store whose newest run is `run`, beside the folder of the run."""
    monkeypatch.chdir(run.parent)
    if not (run / "entry.json").is_file():
        entry = made.entry(folder=str(run))
        store.write(entry, "results")
        (run / "entry.json").write_text(dump(entry))
        (run / "start.json").write_text("{}")
        function = GroupedMap((), (), {}, Platt(1, 0))
        other = Calibration("platt", "precision", "box", function, {1: "cow"}, frozenset(), "")
        write_calibration(run / "calibration.json", other, {})
    return run.parent


@pytest.mark.parametrize("by_id", [False, True])
def test_the_map_of_a_run(run: Path, by_id: bool) -> None:
    name = store.find("results", "last").stem if by_id else "last"
    message = f"{run}/calibration.json is of a detector whose category 1 is 'cow'"
    with pytest.raises(CalibrationError, match=message):
        predict.main(["a.png", "--weights", "last", "--calibration", name])
    with pytest.raises(CalibrationError, match=message):
        evaluate.main(["x.json", "--dataset", "shapes", "dataset.val.length=2", "--calibration", name])
    with pytest.raises(CalibrationError, match=message):
        export.main(["last", "x.onnx", "--calibration", name])


def test_the_results_of_a_run(run: Path) -> None:
    with pytest.raises(ConfigError, match=f"name its results: {run}/results.json"):
        evaluate.main(["last", "--dataset", "shapes"])
    with pytest.raises(ConfigError, match=f"{run} has no results.json yet"):
        calibrate.main(["last"])


def test_a_run_explains_its_own_test(run: Path) -> None:
    assert explain.parse(["last"])[0].weights == str(run)
    assert explain.parse(["last", "a.png"])[0].images == ["a.png"]


def test_a_latency_records_the_folder(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["last", "--repeats", "50", "--warmup", "0", "--threads", "1", "--results", "results"]
    monkeypatch.setattr(sys, "argv", ["lineage", "latency", *arguments])
    latency.main(arguments)
    (measured,) = [entry for entry in store.contents("results").entries if entry.measures_latency]
    assert measured.command[1:] == ["latency", run.name, *arguments[1:]]
    assert json.loads(Path(run, "entry.json").read_text())["id"] == store.find("results", "last").stem


def test_a_run_without_a_calibration_is_told_the_command(tmp_path: Path) -> None:
    (tmp_path / "a run").mkdir()
    with pytest.raises(CalibrationError, match=r"a run has no calibration.json; lineage calibrate '.*/a run' writes"):
        read_calibration(tmp_path / "a run")
