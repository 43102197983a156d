"""trackio's own reader finds in its database what a run logged. Needs the extra trackio: pip install -e .[trackio]"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from lineage.train.loggers import RunName, close_at_end, make_loggers, make_trackio_logger
from tests.train.ended_run import lengthen_waits, write_entry, write_per_class

NAME = RunName("20261126-84cc87", "paper/table", "base", 3, ["optimizer.lr=0.01"], ["mini"], {"box/AP": 37.9})
TITLE = "base optimizer.lr=0.01 seed 3 84cc87"


def log(folder: Path, start: int, steps: range) -> None:
    make = partial(make_trackio_logger, project="lineage", space=None, store=str(folder / "unused"))
    (logger,) = make_loggers({"trackio": make}, folder=folder, name=NAME, start=start)
    with close_at_end([logger], folder):
        logger.log_hyperparams({"seed": 3, "optimizer": {"_target_": "sgd", "lr": 0.1}})
        for step in steps:
            logger.log_metrics({"loss": float(10 * start + step), "box/AP": 0.5}, step)


def test_the_run_is_read_back_by_trackio(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))  # before the import, which reads it
    pytest.importorskip("trackio", reason="the extra trackio is not installed")
    from trackio.sqlite_storage import SQLiteStorage
    from trackio.utils import MEDIA_DIR  # of the first test that imports trackio

    lengthen_waits(monkeypatch)
    write_entry(tmp_path, "stopped", 5)
    log(tmp_path, 0, range(1, 6))
    write_entry(tmp_path, "finished", 7)
    write_per_class(tmp_path)
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (6, 4)).save(tmp_path / "pictures" / "predictions.png")
    log(tmp_path, 4, range(5, 8))  # resumed at step 4: the same run of trackio, which keeps both values of step 5
    assert [record["name"] for record in SQLiteStorage.get_run_records("lineage")] == [TITLE]
    config = SQLiteStorage.get_run_config("lineage", TITLE)
    assert (config["run"]["group"], config["run"]["published"]) == ("paper/table", {"box/AP": 37.9})
    assert config["config"]["optimizer"] == {"_target_": "sgd", "lr": 0.1}
    assert config["_Group"] == "paper/table"
    rows = SQLiteStorage.get_logs("lineage", TITLE)
    assert [(row["step"], row["loss"]) for row in rows if "loss" in row] == [
        (1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0), (5, 5.0), (5, 45.0), (6, 46.0), (7, 47.0),
    ]  # fmt: skip
    (last,) = (row for row in rows if "class/ice cream, cone/box/AP" in row)
    assert (last["step"], last["class/ice cream, cone/box/AP"], last["cost/seconds"]) == (7, 31.0, 8.5)
    assert last["predictions"]["_type"] == "trackio.image"
    assert list(Path(MEDIA_DIR, "lineage").rglob("*.png"))
    assert capfd.readouterr().out == ""  # trackio's announcements are not the run's
