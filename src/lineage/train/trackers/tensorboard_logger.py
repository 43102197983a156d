"""Logger to TensorBoard: curves by step, then the metrics of classes, the pictures and the entry of the run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pytorch_lightning.loggers import Logger

from lineage.train.trackers.run_record import read_record

TENSORBOARD = "tensorboard"  # folder of the event files in a run folder


class TensorBoardLogger(Logger):
    """Logger to event files in `folder`, which a later logger continues after step `start`."""

    def __init__(self, folder: Path, *, facts: Mapping[str, Any], start: int) -> None:
        super().__init__()
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(folder), purge_step=start + 1 if start else None)
        self.facts = facts
        self.last_step = start

    @property
    def name(self) -> str:
        return TENSORBOARD

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        self.writer.add_text("run", _format_code({**self.facts, "config": params}), self.last_step)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.last_step = step or 0
        for name, value in metrics.items():
            self.writer.add_scalar(name, value, step)

    def log_run(self, folder: Path) -> None:
        """Add what the folder of a run that has ended holds; a failed run has its entry alone."""
        record = read_record(folder)
        step = record.step or self.last_step
        if record.path:
            text = {**record.facts, "metrics": record.metrics, "costs": record.costs}
            self.writer.add_text("entry", _format_code(text), step)
        for name, value in (record.classes | record.costs).items():
            self.writer.add_scalar(name, value, step)
        for picture in record.pictures:
            pixels = np.asarray(Image.open(picture).convert("RGB"))
            self.writer.add_image(picture.stem, pixels, step, dataformats="HWC")

    def close(self) -> None:
        self.writer.close()


def _format_code(value: Any) -> str:
    """Return JSON as TensorBoard's Markdown shows it: as code."""
    return "\n".join(f"    {line}" for line in json.dumps(value, indent=1, default=str).splitlines())
