"""Loggers of curves: a CSV file in the run folder, and W&B, TensorBoard, MLflow and trackio in the background."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

from lineage.results.atomic import atomic_write
from lineage.results.run_folder import RunFolder, read_metrics
from lineage.train.background_logger import BackgroundLogger
from lineage.train.trackers.mlflow_logger import MlflowLogger
from lineage.train.trackers.tensorboard_logger import TENSORBOARD, TensorBoardLogger
from lineage.train.trackers.trackio_logger import TrackioLogger
from lineage.train.trackers.wandb_logger import WandbLogger

STATISTICS = ("DeviceStatsMonitor", "train/", "validate/")  # names that Lightning's monitors begin with


@dataclass(frozen=True, slots=True)
class RunName:
    """Name of a run on a dashboard; its id is that of the run's first entry, also after it was resumed.

    table: the group of the run; of a free run the sweep that it is part of.
    options: overrides by which the run differs from its row, or from the defaults.
    published: numbers of the paper for the row, {"box/AP": 37.9, ...}.
    """

    id: str
    table: str
    row: str
    seed: int
    options: Sequence[str] = ()
    tags: Sequence[str] = ()
    published: Mapping[str, float] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return " ".join([self.row, *self.options, f"seed {self.seed}"])

    def describe(self) -> dict[str, Any]:
        """Return what every tracker shows of the run from its start."""
        described = {"id": self.id, "name": self.title, "group": self.table, "row": self.row, "tags": list(self.tags)}
        return {**described, "options": list(self.options), "published": dict(self.published)}


class CsvLogger(Logger):
    """Logger to metrics.csv: a row per step with losses and one per evaluation, a column per name.

    A resumed run continues the file: rows after its checkpoint are dropped, and a row that comes again is replaced.
    Statistics of devices and speed have no columns there: statistics.csv has a row for each, (step, name, value).
    """

    def __init__(self, *, folder: Path, name: RunName, start: int) -> None:
        super().__init__()
        self.path = RunFolder(folder).metrics
        self.statistics = RunFolder(folder).statistics
        self.columns = ["step"]
        self.start = start
        self.logged: set[tuple[int, bool]] = set()  # rows in the file: step, and whether it has losses

    @property
    def name(self) -> str:
        return "csv"

    @property
    def version(self) -> str:
        return ""

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Start the file, or drop the rows after the checkpoint that a resumed run starts from."""
        rows = select_rows(read_metrics(self.path), self.start)
        self.columns = list(rows[0]) if rows else ["step"]
        self.logged = {_identify(row) for row in rows}
        self._rewrite(rows)

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        if any(name.startswith(STATISTICS) for name in metrics):
            self._append_statistics(metrics, step or 0)
            return
        row = {"step": step or 0, **metrics}
        new = [name for name in row if name not in self.columns]
        if new or _identify(row) in self.logged:
            self.columns += new
            self._rewrite([old for old in read_metrics(self.path) if _identify(old) != _identify(row)])
        self.logged.add(_identify(row))
        try:
            with self.path.open("a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, self.columns).writerow(row)
        except OSError as error:
            error.filename = error.filename or str(self.path)  # a full disk names no file
            raise

    def _append_statistics(self, metrics: Mapping[str, float], step: int) -> None:
        is_new = not self.statistics.exists()
        with self.statistics.open("a", newline="", encoding="utf-8") as file:
            rows = [(step, name, value) for name, value in metrics.items()]
            csv.writer(file).writerows([("step", "name", "value"), *rows] if is_new else rows)

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self.columns)
        writer.writeheader()
        writer.writerows(rows)
        atomic_write(self.path, text.getvalue())


def select_rows(rows: Iterable[dict[str, str]], last: int) -> list[dict[str, str]]:
    """Return the rows up to step `last`, without one that was cut off as the disk was full."""
    selected: list[dict[str, str]] = []
    for row in rows:
        is_whole = None not in row and None not in row.values() and row["step"].isdigit()
        ascends = is_whole and int(row["step"]) >= int(selected[-1]["step"] if selected else 0)
        if ascends and int(row["step"]) <= last:
            selected.append(row)
    return selected


def has_evaluation(path: Path, step: int) -> bool:
    """Return whether metrics.csv has the metrics of an evaluation after `step` steps."""
    return (step, False) in map(_identify, select_rows(read_metrics(path), step))


def _identify(row: Mapping[str, Any]) -> tuple[int, bool]:
    return int(row["step"]), row.get("loss", "") != ""


def make_wandb_logger(*, folder: Path, name: RunName, start: int, project: str, entity: str | None) -> Logger:
    """Return a W&B logger, offline (for a later `wandb sync`) if this machine has no key or no network."""
    return WandbLogger(
        project=project, entity=entity, id=name.id, name=name.title, group=name.table,
        job_type=name.row, tags=list(name.tags), dir=str(folder),
        config={"run": name.describe()},
    )  # fmt: skip


def make_tensorboard_logger(*, folder: Path, name: RunName, start: int) -> Logger:
    """Return a logger to TensorBoard's event files in the run folder."""
    return TensorBoardLogger(folder / TENSORBOARD, facts=name.describe(), start=start)


def make_mlflow_logger(
    *, folder: Path, name: RunName, start: int, experiment: str, tracking_uri: str | None, store: str
) -> Logger:
    """Return a logger to MLflow: to a server, or to the file `store`."""
    return MlflowLogger(tracking_uri=tracking_uri, experiment=experiment, store=Path(store), facts=name.describe())


def make_trackio_logger(
    *, folder: Path, name: RunName, start: int, project: str, space: str | None, store: str
) -> Logger:
    """Return a logger to trackio: to files in `store`, and to a Space that shows them."""
    return TrackioLogger(project=project, store=Path(store), space=space, facts=name.describe())


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
def close_at_end(loggers: Iterable[Logger], folder: Path | None = None) -> Iterator[None]:
    """After the block, let the loggers write what they still hold, each for some seconds at most.

    Those in the background also get the run folder, with what it has of entry, metrics of classes and pictures.
    """
    try:
        yield
    finally:
        for logger in loggers:
            if isinstance(logger, BackgroundLogger):
                if folder is not None:
                    logger.log_run(folder)
                logger.close()
