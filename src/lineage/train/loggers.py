"""Where curves go: a CSV file beside the checkpoints, and W&B for those who use it."""

from __future__ import annotations

import csv
import netrc
import os
from pathlib import Path
from typing import Any, NamedTuple

from pytorch_lightning.loggers import Logger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only


class Name(NamedTuple):
    """How a dashboard files a run: the id is the entry's, so either leads to the other."""

    id: str
    table: str
    row: str
    seed: int


class Csv(Logger):
    """metrics.csv: a row per step that logged anything, a column per value. A resumed run continues the file."""

    def __init__(self, *, folder: Path, name: Name, start: int) -> None:
        super().__init__()
        self.path = folder / "metrics.csv"
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
        """The config has a file of its own; this is where the one of an earlier attempt is cut at the checkpoint."""
        kept = [row for row in rows(self.path) if int(row["step"]) <= self.start]
        self.columns = list(kept[0]) if kept else ["step"]
        self._rewrite(kept)

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        row = {"step": step, **metrics}
        new = [name for name in row if name not in self.columns]
        if new:
            self.columns += new
            self._rewrite(rows(self.path))
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self.columns).writerow(row)

    def _rewrite(self, kept: list[dict[str, str]]) -> None:
        partial = self.path.with_suffix(".partial")
        with partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns)
            writer.writeheader()
            writer.writerows(kept)
        partial.replace(self.path)


def rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def wandb(*, folder: Path, name: Name, start: int, project: str, entity: str | None) -> Logger:
    """Offline, to be sent later with `wandb sync`, unless this machine holds a key. Never asks."""
    return WandbLogger(
        project=project, entity=entity, id=name.id, name=f"{name.row} seed {name.seed}", group=name.table,
        job_type=name.row, save_dir=folder, offline=not has_key(), settings={"silent": True},
    )  # fmt: skip


def has_key() -> bool:
    if os.environ.get("WANDB_MODE") in ("offline", "disabled"):
        return False
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators("api.wandb.ai") is not None
    except (OSError, netrc.NetrcParseError):
        return False


def dashboard(loggers: list[Logger]) -> str | None:
    """The address of a run that somebody can open in a browser."""
    runs = [logger.experiment for logger in loggers if isinstance(logger, WandbLogger)]
    return next((run.url for run in runs if not run.offline), None)
