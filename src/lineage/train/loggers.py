"""Loggers of curves: a CSV file in the run folder, and W&B in the background."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

from lineage.results.atomic import atomic_write
from lineage.results.run_folder import RunFolder, read_metrics
from lineage.train.background_logger import BackgroundLogger
from lineage.train.wandb_logger import WandbLogger


@dataclass(frozen=True, slots=True)
class RunName:
    """Name of a run on a dashboard; its id is that of the run's first entry, also after it was resumed."""

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
    """Return a W&B logger, offline (for a later `wandb sync`) if this machine has no key or no network."""
    return WandbLogger(
        project=project, entity=entity, id=name.id, name=f"{name.row} seed {name.seed}", group=name.table,
        job_type=name.row, dir=str(folder),
    )  # fmt: skip


def make_loggers(
    makers: Mapping[str, Callable[..., Logger]], *, folder: Path, name: RunName, start: int
) -> list[Logger]:
    """Return the loggers of a run by `makers`, name -> class or function; all but the CSV file in the background."""
    loggers: list[Logger] = []
    for title, maker in makers.items():
        make = partial(maker, folder=folder, name=name, start=start)
        loggers.append(make() if make.func is CsvLogger else BackgroundLogger(title, make))
    return loggers


def find_dashboard_url(loggers: Iterable[Logger]) -> str | None:
    """Return the address of the run on a dashboard, or None if it has none. Asks no server."""
    return next((url for logger in loggers if (url := getattr(logger, "url", None))), None)


@contextmanager
def close_at_end(loggers: Iterable[Logger]) -> Iterator[None]:
    """Let the loggers write what they still hold after the block, each for some seconds at most."""
    try:
        yield
    finally:
        for logger in loggers:
            if isinstance(logger, BackgroundLogger):
                logger.close()
