"""Checkpoints that survive kill -9: each is written under a temporary name and renamed; the newest two are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from pytorch_lightning import Callback, LightningModule, Trainer

from lineage.results.atomic import atomic_write, sweep
from lineage.results.run_folder import checkpoint_name, list_checkpoints
from lineage.train.detection_module import DetectionModule

KEEP = 2


class Checkpoints(Callback):
    """Callback that saves a checkpoint every `every` optimizer steps and after the last one."""

    def __init__(self, folder: Path, *, every: int) -> None:
        self.folder, self.every = folder, every
        self.saved_at = 0  # step of the newest checkpoint

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.saved_at = trainer.global_step
        if trainer.is_global_zero:
            sweep(self.folder, age=0.0)  # of an earlier process of this run, which was killed as it wrote

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Count the micro batches of the steps done as this hardware would have: Lightning continues that count."""
        micro_batches = checkpoint["global_step"] * trainer.accumulate_grad_batches
        progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        for counts in (progress["total"], progress["current"]):
            behind = counts["ready"] - counts["completed"]  # saved before the last one counts as completed
            counts |= dict.fromkeys(("ready", "started", "processed"), micro_batches)
            counts["completed"] = micro_batches - behind

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        step = trainer.global_step
        if step > self.saved_at and (step % self.every == 0 or step == trainer.max_steps):
            cast(DetectionModule, pl_module).flush_losses()  # raises if training diverged: such weights are not saved
            self.save(trainer, step)

    def save(self, trainer: Trainer, step: int) -> None:
        self.saved_at = step
        path = self.folder / checkpoint_name(step)
        if not trainer.is_global_zero:
            trainer.save_checkpoint(path)  # takes part; the first process alone writes
            return
        atomic_write(path, trainer.save_checkpoint, durable=True)
        for old in list(list_checkpoints(self.folder).values())[:-KEEP]:
            old.unlink()
