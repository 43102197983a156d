"""A signal to stop costs a run the step in progress at most, and seconds."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback

from lineage.results.run_folder import list_checkpoints
from lineage.train import stop_signals
from lineage.train.checkpoint import Checkpoints
from lineage.train.stop_signals import StopSignals
from tests.train import toy


class SendSignal(Callback):
    """A scheduler that sends a signal in the forward pass of a micro batch, or in an evaluation."""

    def __init__(self, number: int, batch: int | None = None) -> None:
        self.number, self.batch = number, batch

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == self.batch:
            os.kill(os.getpid(), self.number)

    def on_validation_batch_start(self, *_: Any) -> None:
        if self.batch is None:
            os.kill(os.getpid(), self.number)


def train(folder: Path, sender: SendSignal | None = None, path: Path | None = None, **options: Any) -> Any:
    signals = StopSignals()
    callbacks = [*([sender] if sender else []), Checkpoints(folder, every=100, signals=signals), signals]
    trainer = toy.trainer(9, callbacks=callbacks, **options)
    module = toy.detection_module(images=2 * trainer.accumulate_grad_batches)
    start = max(list_checkpoints(folder), default=0) if path else 0
    with signals.install():
        trainer.fit(module, toy.ToyData(start * trainer.accumulate_grad_batches), ckpt_path=path, weights_only=True)
    return module.model.state_dict()


def wait_after(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(5)


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_the_step_in_progress_is_finished_and_saved(tmp_path: Path, number: int, accumulate: int) -> None:
    before = signal.getsignal(number)
    whole = train(tmp_path / "whole", accumulate_grad_batches=accumulate)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train(tmp_path, SendSignal(number, 4), accumulate_grad_batches=accumulate)
    ((step, path),) = list_checkpoints(tmp_path).items()
    assert step == 4 // accumulate + 1
    continued = train(tmp_path, None, path, accumulate_grad_batches=accumulate)
    assert all(torch.equal(whole[name], continued[name]) for name in whole)
    assert signal.getsignal(number) is before


def test_an_evaluation_ends_at_once_with_a_checkpoint_before_it(tmp_path: Path) -> None:
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train(tmp_path, SendSignal(signal.SIGTERM), val_check_interval=4)
    assert list(list_checkpoints(tmp_path)) == [4]


def test_a_step_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stop_signals, "GRACE", 0.2)
    signals = StopSignals()
    signals._is_training = True
    with signals.install(), pytest.raises(KeyboardInterrupt):
        wait_after(signal.SIGTERM)
    assert signals.requested


def test_outside_of_training_a_signal_ends_the_run_at_once() -> None:
    with StopSignals().install(), pytest.raises(KeyboardInterrupt):
        wait_after(signal.SIGHUP)


def test_an_ignored_signal_stays_ignored() -> None:
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignals().install():
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.05)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
