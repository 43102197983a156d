"""The file of W&B holds what a run logged, also after it was resumed."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lineage.train.loggers import RunName, close_at_end, make_loggers, make_wandb_logger
from tests.train.ended_run import lengthen_waits
from tests.wandb_file import read_finished

NAME = RunName(
    "id-1", "paper/table", "base", 3, ["optimizer.lr=0.01"], ["mini", "mask_rcnn"], {"box/AP": 37.9}
)  # fmt: skip
STEP = "trainer/global_step"


def log(folder: Path, start: int, steps: range) -> None:
    make = partial(make_wandb_logger, project="lineage", entity=None)
    loggers = make_loggers({"wandb": make}, folder=folder, name=NAME, start=start)
    with close_at_end(loggers, folder):
        loggers[0].log_hyperparams({"seed": 3, "optimizer": {"lr": 0.01}})
        for step in steps:
            loggers[0].log_metrics({"loss": float(10 * start + step)}, step)


def read_items(items: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def test_the_run_is_read_back_from_the_files_of_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    lengthen_waits(monkeypatch)
    log(tmp_path, 0, range(1, 6))
    (tmp_path / "entry.json").write_text(json.dumps({"id": "e1", "metrics": {"box/AP": 30.0}, "commit": "c0"}))
    (tmp_path / "per_class.json").write_text(json.dumps({"disc": {"box/AP": 31.0}}))
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (6, 4)).save(tmp_path / "pictures" / "predictions.png")
    log(tmp_path, 5, range(6, 8))  # resumed: a second file of the same run
    files = sorted((tmp_path / "wandb").glob("offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime)
    assert [path.stem for path in files] == ["run-id-1"] * 2
    parts = [read_finished(path) for path in files]
    # 1. The run, of both files.
    for records in parts:
        run = next(record.run for record in records if record.HasField("run"))
        assert (run.run_id, run.project, run.display_name) == ("id-1", "lineage", "base optimizer.lr=0.01 seed 3")
        assert (run.run_group, run.job_type, list(run.tags)) == ("paper/table", "base", ["mini", "mask_rcnn"])
        assert read_items(run.config.update)["run"]["published"] == {"box/AP": 37.9}
    # 2. The curves, by step.
    rows = [read_items(record.history.item) for records in parts for record in records if record.HasField("history")]
    curve = [(row[STEP], row["loss"]) for row in rows if "loss" in row]
    assert curve == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0), (5, 5.0), (6, 56.0), (7, 57.0)]
    # 3. Picture, metrics of classes and the entry.
    assert [row["predictions/height"] for row in rows if "predictions/height" in row] == [4]
    summary: dict[str, Any] = {}
    for record in parts[1]:
        summary |= read_items(record.summary.update)
    assert (summary["class/disc/box/AP"], summary["entry/commit"]) == (31.0, "c0")
    assert any("entry-id-1" in str(record) for record in parts[1])
