"""Checkpoints that survive kill -9: written beside, renamed over; the newest two are kept."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, cast

from pytorch_lightning import Callback, LightningModule, Trainer

from lineage.train.detection_module import Reproduction

KEEP = 2
NAME = re.compile(r"step-(\d+)\.ckpt")


def saved(folder: Path) -> dict[int, Path]:
    """The complete checkpoints of a run folder, by step, oldest first."""
    found = {int(match[1]): path for path in folder.glob("step-*.ckpt") if (match := NAME.fullmatch(path.name))}
    return dict(sorted(found.items()))


class Checkpoints(Callback):
    def __init__(self, folder: Path, *, every: int) -> None:
        self.folder, self.every = folder, every
        self.saved_at = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.saved_at = trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        step = trainer.global_step
        if step > self.saved_at and (step % self.every == 0 or step == trainer.max_steps):
            cast(Reproduction, pl_module).read_losses()  # never keep the weights of a run that has diverged
            self.save(trainer, step)

    def save(self, trainer: Trainer, step: int) -> None:
        self.saved_at = step
        path = self.folder / f"step-{step:07d}.ckpt"
        partial = path.with_suffix(".partial")
        trainer.save_checkpoint(partial)
        if trainer.is_global_zero:
            flush(partial)
            os.replace(partial, path)
            for old in list(saved(self.folder).values())[:-KEEP]:
                old.unlink()


def flush(path: Path) -> None:
    """A rename may reach the disk before the bytes do; after this it cannot."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
