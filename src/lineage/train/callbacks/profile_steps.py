"""Profile of a few training steps by torch.profiler: a table of operators and a trace.

Lightning's PyTorchProfiler mixes the steps of evaluations into the table, and raises after a stage that is shorter than
its schedule.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch.profiler import ProfilerActivity, profile

SKIPPED = 10  # micro batches, in which caches are filled; half of a shorter training
TIMED = 5  # micro batches after them
ROWS = 40


class ProfileSteps(Callback):
    """Callback of the first process that writes operators.txt and trace.json to a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.profiler: profile | None = None
        self.batches = 0  # of this process, done
        self.first = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        remaining = (trainer.max_steps - trainer.global_step) * trainer.accumulate_grad_batches
        self.first = min(SKIPPED, remaining // 2)

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        if trainer.is_global_zero and self.batches == self.first:
            os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else it prints errors about a GPU where there is none
            activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])]
            self.profiler = profile(activities=activities, record_shapes=True)
            self.profiler.start()

    def on_train_batch_end(self, *_: Any) -> None:
        self.batches += 1
        if self.batches == self.first + TIMED:
            self._write()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write()

    def _write(self) -> None:
        """Stop and write what was recorded, if anything was; the largest rows of the table first."""
        if self.profiler is None:
            return
        self.profiler.stop()
        self.folder.mkdir(exist_ok=True)
        order = "self_device_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
        table = self.profiler.key_averages().table(sort_by=order, row_limit=ROWS)
        (self.folder / "operators.txt").write_text(table, encoding="utf-8")
        self.profiler.export_chrome_trace(str(self.folder / "trace.json"))
        self.profiler = None
