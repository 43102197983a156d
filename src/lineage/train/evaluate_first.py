"""Evaluation before the first step of a resumed run that was killed in the evaluation of its checkpoint."""

from __future__ import annotations

from pathlib import Path

from pytorch_lightning import Callback, LightningModule, Trainer

from lineage.train.evaluated_weights import watches_metrics
from lineage.train.loggers import has_evaluation


def evaluates_after(trainer: Trainer, step: int) -> bool:
    """Return whether training is interrupted by an evaluation after `step` steps."""
    interval = trainer.val_check_batch  # in micro batches
    return bool(interval) and step * trainer.accumulate_grad_batches % (interval or 1) == 0


class EvaluateFirst(Callback):
    """Callback that evaluates before training if the step of the checkpoint was to be evaluated and `metrics` lacks it.

    A checkpoint is saved before the evaluation of its step; Lightning goes on after it. Callbacks that wait for metrics
    need that evaluation in any case: their state in the checkpoint is older.
    """

    def __init__(self, metrics: Path, step: int) -> None:
        self.is_resumed = step > 0
        self.is_absent = not has_evaluation(metrics, step)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        is_needed = self.is_resumed and (self.is_absent or watches_metrics(trainer))
        is_due = is_needed and evaluates_after(trainer, trainer.global_step)
        if trainer.strategy.broadcast(is_due):
            loop = trainer.fit_loop.epoch_loop.val_loop
            trainer.validating = True
            loop.restarting = False
            loop.run()
            trainer.training = True
