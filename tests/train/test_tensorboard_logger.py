"""TensorBoard's own reader finds in the event files what a run logged."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from lineage.train.background_logger import BackgroundLogger
from lineage.train.loggers import TENSORBOARD, RunName, close_at_end, make_loggers, make_tensorboard_logger
from tests.train.masked_picture import assert_mask_is_there, save_masked_picture

pytest.importorskip("tensorboard", reason="make setup installs tensorboard")
NAME = RunName("id", "paper/table", "base", 3, ["optimizer.lr=0.01"], ["mini", "mask_rcnn"])


def log(folder: Path, start: int, steps: range) -> None:
    (logger,) = make_loggers({"tensorboard": make_tensorboard_logger}, folder=folder, name=NAME, start=start)
    assert isinstance(logger, BackgroundLogger)
    with close_at_end([logger], folder):
        logger.log_hyperparams({"seed": 3})
        for step in steps:
            logger.log_metrics({"loss": float(10 * start + step)}, step)


def test_the_run_is_read_back_by_tensorboard(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (tmp_path / "entry.json").write_text(json.dumps({"id": "e1", "metrics": {"box/AP": 30.0}, "commit": "c0"}))
    (tmp_path / "per_class.json").write_text(json.dumps({"disc": {"box/AP": 31.0}}))
    save_masked_picture(tmp_path / "pictures" / "predictions.png")
    log(tmp_path, 0, range(1, 6))
    log(tmp_path, 3, range(4, 7))  # resumed from step 3: what came after it is dropped
    events = EventAccumulator(str(tmp_path / TENSORBOARD)).Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [
        (1, 1.0), (2, 2.0), (3, 3.0), (4, 34.0), (5, 35.0), (6, 36.0),
    ]  # fmt: skip
    assert events.Scalars("class/disc/box/AP")[-1].value == 31.0
    assert_mask_is_there(Image.open(io.BytesIO(events.Images("predictions")[-1].encoded_image_string)))
    texts = {tag: events.Tensors(tag)[-1].tensor_proto.string_val[0].decode() for tag in events.Tags()["tensors"]}
    assert '"name": "base optimizer.lr=0.01 seed 3"' in texts["run/text_summary"]
    assert '"group": "paper/table"' in texts["run/text_summary"]
    assert '"box/AP": 30.0' in texts["entry/text_summary"]
