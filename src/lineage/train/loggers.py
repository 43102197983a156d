"""Loggers of curves: a CSV file in the run folder, and W&B."""

from __future__ import annotations

import csv
import io
import netrc
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only

from lineage.results.atomic import atomic_write
from lineage.results.run_folder import RunFolder, read_metrics


@dataclass(frozen=True, slots=True)
class RunName:
    """Name of a run on a dashboard; its id is that of the entry."""

    id: str
    table: str
    row: str
    seed: int


class CsvLogger(Logger):
    """Logger to metrics.csv: a row per step with values, a column per name. A resumed run continues the file."""

    def __init__(self, *, folder: Path, name: RunName, start: int) -> None:
        super().__init__()
        self.path = RunFolder(folder).metrics
        self.columns = ["step"]
        self.start = start

    @property
    def name(self) -> str:
        return "csv"

    @property
    def version(self) -> str:
        return ""

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Start the file, or drop the rows after the checkpoint that a resumed run starts from."""
        rows = [row for row in read_metrics(self.path) if int(row["step"]) <= self.start]
        self.columns = list(rows[0]) if rows else ["step"]
        self._rewrite(rows)

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        row = {"step": step, **metrics}
        new = [name for name in row if name not in self.columns]
        if new:
            self.columns += new
            self._rewrite(read_metrics(self.path))
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self.columns).writerow(row)

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self.columns)
        writer.writeheader()
        writer.writerows(rows)
        atomic_write(self.path, text.getvalue())


def make_wandb_logger(*, folder: Path, name: RunName, start: int, project: str, entity: str | None) -> Logger:
    """Return a W&B logger, offline (for a later `wandb sync`) if this machine has no key. Never prompts."""
    return WandbLogger(
        project=project, entity=entity, id=name.id, name=f"{name.row} seed {name.seed}", group=name.table,
        job_type=name.row, save_dir=folder, offline=not has_wandb_key(), settings={"silent": True},
    )  # fmt: skip


def has_wandb_key() -> bool:
    """Return whether W&B can log in: a key in the environment or in ~/.netrc, and no offline mode."""
    if os.environ.get("WANDB_MODE") in ("offline", "disabled"):
        return False
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators("api.wandb.ai") is not None
    except (OSError, netrc.NetrcParseError):
        return False


def find_dashboard_url(loggers: list[Logger]) -> str | None:
    """Return the address of the run on W&B, or None if it has none."""
    runs = [logger.experiment for logger in loggers if isinstance(logger, WandbLogger)]
    return next((run.url for run in runs if not run.offline), None)
