"""Lines of a run in a log file."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console

from lineage.train.progress import ProgressLines


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
