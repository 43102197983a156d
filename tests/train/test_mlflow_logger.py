"""MLflow's own client finds in its store what a run logged. Needs the extra mlflow: pip install -e .[mlflow]"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from lineage.train.loggers import RunName, close_at_end, make_loggers, make_mlflow_logger
from tests.train.ended_run import lengthen_waits, write_entry, write_per_class
from tests.train.masked_picture import assert_mask_is_there, save_masked_picture

mlflow = pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
NAME = RunName(
    "id-1", "paper/table", "base", 3, ["optimizer.lr=0.01"], ["mini", "mask_rcnn"], {"box/AP": 37.9}
)  # fmt: skip


def log(folder: Path, start: int, steps: range) -> None:
    make = partial(make_mlflow_logger, experiment="lineage", tracking_uri=None, store=str(folder / "mlflow.db"))
    (logger,) = make_loggers({"mlflow": make}, folder=folder, name=NAME, start=start)
    with close_at_end([logger], folder):
        logger.log_hyperparams({"seed": 3, "optimizer": {"lr": 0.1 if start == 0 else 0.2}})
        for step in steps:
            logger.log_metrics({"loss": float(10 * start + step)}, step)


def test_the_run_is_read_back_by_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    lengthen_waits(monkeypatch)
    write_entry(tmp_path, "stopped", 5)
    log(tmp_path, 0, range(1, 6))
    write_entry(tmp_path, "finished", 7)
    write_per_class(tmp_path)
    save_masked_picture(tmp_path / "pictures" / "predictions.png")
    log(tmp_path, 5, range(6, 8))  # resumed: the same run of MLflow
    client = mlflow.tracking.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("lineage").experiment_id])
    assert (run.info.run_name, run.info.status) == ("base optimizer.lr=0.01 seed 3", "FINISHED")
    assert {
        "group": "paper/table",
        "tags": "mini mask_rcnn",
        "options": "optimizer.lr=0.01",
    }.items() <= run.data.tags.items()
    assert {"published/box/AP": "37.9", "entry/commit": "c0", "entry/id": "e1"}.items() <= run.data.tags.items()
    assert run.data.params == {"seed": "3", "optimizer.lr": "0.1"}
    assert [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, "loss")] == [
        (1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0), (5, 5.0), (6, 56.0), (7, 57.0),
    ]  # fmt: skip
    (point,) = client.get_metric_history(run.info.run_id, "class/ice cream cone/box/AP")
    assert (point.step, point.value) == (7, 31.0)
    assert run.data.metrics["cost/seconds"] == 8.5
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert files == {"entry.json", "predictions.png"}
    assert_mask_is_there(Image.open(client.download_artifacts(run.info.run_id, "predictions.png", str(tmp_path))))
