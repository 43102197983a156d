"""Checkpoints that survive kill -9: each is written under a temporary name and renamed; the newest two are kept."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, cast

from pytorch_lightning import Callback, LightningModule, Trainer

from lineage.train.detection_module import DetectionModule

KEEP = 2
NAME = re.compile(r"step-(\d+)\.ckpt")


def list_checkpoints(folder: Path) -> dict[int, Path]:
    """Return the complete checkpoints of a folder by step, oldest first."""
    paths = {int(match[1]): path for path in folder.glob("step-*.ckpt") if (match := NAME.fullmatch(path.name))}
    return dict(sorted(paths.items()))


class Checkpoints(Callback):
    """Callback that saves a checkpoint every `every` optimizer steps and after the last one."""

    def __init__(self, folder: Path, *, every: int) -> None:
        self.folder, self.every = folder, every
        self.saved_at = 0  # step of the newest checkpoint

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.saved_at = trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        step = trainer.global_step
        if step > self.saved_at and (step % self.every == 0 or step == trainer.max_steps):
            cast(DetectionModule, pl_module).flush_losses()  # raises if training diverged: such weights are not saved
            self.save(trainer, step)

    def save(self, trainer: Trainer, step: int) -> None:
        self.saved_at = step
        path = self.folder / f"step-{step:07d}.ckpt"
        partial = path.with_suffix(".partial")
        trainer.save_checkpoint(partial)
        if trainer.is_global_zero:
            flush(partial)
            os.replace(partial, path)
            for old in list(list_checkpoints(self.folder).values())[:-KEEP]:
                old.unlink()


def flush(path: Path) -> None:
    """Write the bytes of a file to the disk (fsync), so that a later rename cannot reach the disk before them."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
