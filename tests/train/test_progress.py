"""Lines of a run in a log file."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from pytorch_lightning.callbacks import ModelCheckpoint
from rich.console import Console

from lineage.train import throughput
from lineage.train.progress import ProgressLines, format_losses


def test_a_loss_is_printed_once_and_with_its_step(capsys: pytest.CaptureFixture[str]) -> None:
    """Losses are read every 20 steps, lines come every 4: three lines repeated the loss of step 20."""
    trainer = cast(Any, SimpleNamespace(global_step=0, max_steps=40))
    module = cast(Any, SimpleNamespace(latest={}, flushed_at=0))
    lines = ProgressLines(Console())
    lines.on_train_start(trainer, module)
    for step in (4, 20, 24, 28, 40):
        trainer.global_step = step
        if step in (24, 40):  # callbacks come before the module, which reads the losses of step 20 after its line
            module.flushed_at = step if step == 40 else 20
            module.latest = {"loss": step / 10, "rpn_cls": step / 10, "lr": 0.02, "images_per_second": 7.0}
        lines.on_train_batch_end(trainer, module)
    losses = [line.partition("left")[2].strip() for line in capsys.readouterr().out.splitlines()]
    read = [f"loss {loss} = rpn_cls {loss}, lr 0.02, 7.0 images/s" for loss in ("2.400", "4.000")]
    assert losses == ["", "", f"{read[0]}  (step 20)", "", read[1]]


def test_the_line_says_when_the_training_waits_for_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four steps of 3 s, each after a wait of 1 s but the first; an evaluation of 100 s between them is neither."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(throughput.time, "perf_counter", lambda: clock.now)
    meter = throughput.Throughput()
    meter.start()
    for step in range(4):
        clock.now += 1.0 if step else 0.0
        meter.begin_step()
        clock.now += 3.0
        meter.add_images(5)
        meter.end_step()
        if step == 1:
            meter.stop()
            clock.now += 100.0
            meter.start()
    speed = meter.update()
    assert speed == (20 / 15, 1 / 15 + 1 / 15)  # the wait after the evaluation is not counted
    values = {"loss": 1.0, "rpn_cls": 1.0, "lr": 0.02, **speed._asdict()}
    assert format_losses(values).endswith("lr 0.02, 1.3 images/s, 13% waiting for data")
    assert format_losses(values | {"data_wait": 0.05}).endswith("1.3 images/s")


def test_the_last_line_names_the_weights_that_are_evaluated(capsys: pytest.CaptureFixture[str]) -> None:
    best = ModelCheckpoint(monitor="box/AP")
    state = SimpleNamespace(fn="fit")
    trainer = cast(Any, SimpleNamespace(global_step=8, state=state, sanity_checking=False, callbacks=[best]))
    lines = ProgressLines(Console())
    lines.on_validation_start(trainer, cast(Any, None))
    best.best_model_path, state.fn = "best-0000004.ckpt", "validate"
    lines.on_validation_start(trainer, cast(Any, None))
    assert capsys.readouterr().out.splitlines() == [
        "evaluating at step 8", "evaluating the best weights, those of step 4"
    ]  # fmt: skip
