"""Logger to TensorBoard: curves by step, then the metrics of classes, the pictures and the entry of the run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pytorch_lightning.loggers import Logger

from lineage.results.run_folder import RunFolder

TENSORBOARD = "tensorboard"  # folder of the event files in a run folder
ENTRY_FIELDS = (
    "id",
    "status",
    "commit",
    "dataset",
    "seconds",
    "image_ms",
    "peak_memory",
    "metrics",
    "choices",
    "command",
)


class TensorBoardLogger(Logger):
    """Logger to event files in `folder`, which a later logger continues after step `start`."""

    def __init__(self, folder: Path, *, title: str, group: str, tags: Sequence[str], start: int) -> None:
        super().__init__()
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(folder), purge_step=start + 1 if start else None)
        self.title, self.group, self.tags = title, group, tags
        self.last_step = start

    @property
    def name(self) -> str:
        return TENSORBOARD

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        described = {"name": self.title, "group": self.group, "tags": list(self.tags), "config": params}
        self.writer.add_text("run", _format_code(described), self.last_step)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.last_step = step or 0
        for name, value in metrics.items():
            self.writer.add_scalar(name, value, step)

    def log_run(self, folder: Path) -> None:
        """Add what the folder of a run that has ended holds; a failed run has its entry alone."""
        files = RunFolder(folder)
        if files.entry.is_file():
            entry = json.loads(files.entry.read_text(encoding="utf-8"))
            shown = {name: entry.get(name) for name in ENTRY_FIELDS}
            self.writer.add_text("entry", _format_code(shown), self.last_step)
        if files.per_class.is_file():
            for class_name, metrics in json.loads(files.per_class.read_text(encoding="utf-8")).items():
                measured = {name: value for name, value in metrics.items() if value is not None}
                self.log_metrics({f"class/{class_name}/{name}": measured[name] for name in measured}, self.last_step)
        for picture in sorted(files.pictures.glob("*.png")):
            pixels = np.asarray(Image.open(picture).convert("RGB"))
            self.writer.add_image(picture.stem, pixels, self.last_step, dataformats="HWC")

    def close(self) -> None:
        self.writer.close()


def _format_code(value: Any) -> str:
    """Return JSON as TensorBoard's Markdown shows it: as code."""
    return "\n".join(f"    {line}" for line in json.dumps(value, indent=1, default=str).splitlines())
