"""Logger to trackio: a local SQLite database, and a server or a Space of Hugging Face where one is named."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger

from lineage.train.trackers.local_stores import open_trackio
from lineage.train.trackers.run_record import read_record


class TrackioLogger(Logger):
    """Logger to one run of trackio, which a later logger with the same facts["id"] continues: trackio finds it by name.

    store: folder of the databases, one for each project, unless TRACKIO_DIR names another.
    space: Space of Hugging Face, "owner/name", which trackio keeps up to date; None for local files, or for what
    TRACKIO_SERVER_URL and TRACKIO_SPACE_ID name.
    facts: id, name, group, tags, options and published numbers of the run.
    """

    def __init__(self, *, project: str, store: Path, space: str | None, facts: Mapping[str, Any]) -> None:
        super().__init__()
        self.library = open_trackio(store)
        self.facts = dict(facts)
        self.place = {"project": project, "space_id": space, "group": facts["group"] or None}
        self.title = f"{facts['name']} {facts['id'].rpartition('-')[2]}"
        self.run: Any = None

    @property
    def name(self) -> str:
        return "trackio"

    @property
    def version(self) -> str:
        return self.title

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Begin the run, or go on with that of an earlier attempt; trackio takes a config at its begin alone."""
        config = {"run": self.facts, "config": params}
        hardware = {"auto_log_cpu": False, "auto_log_gpu": False}  # callbacks=[statistics] logs it
        self.run = self.library.init(
            name=self.title, config=config, resume="allow", embed=False, **self.place, **hardware
        )

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.run.log(dict(metrics), step=step)

    def log_run(self, folder: Path) -> None:
        """Add the metrics of classes, the costs, the pictures and the entry of a run that has ended."""
        record = read_record(folder)
        pictures = {picture.stem: self.library.Image(str(picture)) for picture in record.pictures}
        if values := {**record.classes, **record.costs, **pictures}:
            self.run.log(values, step=record.step)
        if record.path:
            self.run.log_artifact(record.path, name=f"entry-{self.facts['id']}", type="entry")

    def close(self) -> None:
        if self.run is not None:
            self.run.finish()
