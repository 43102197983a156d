"""Logger to MLflow by Lightning's, in a local SQLite file unless a server is named."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger, MLFlowLogger

from lineage.train.trackers.local_stores import find_mlflow_store
from lineage.train.trackers.run_record import read_record

ID = "lineage.id"  # tag by which a resumed run finds its MLflow run
FOREIGN = re.compile(r"[^a-zA-Z0-9_/. -]+")  # characters that MLflow refuses in names of metrics
STATUS = {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}


class MlflowLogger(Logger):
    """Logger to one run of MLflow, which a later logger with the same facts["id"] continues.

    store: SQLite file of the runs if neither `tracking_uri` nor MLFLOW_TRACKING_URI is set; artifacts lie beside it.
    facts: id, name, group, tags, options and published numbers of the run.
    """

    def __init__(self, *, tracking_uri: str | None, experiment: str, store: Path, facts: Mapping[str, Any]) -> None:
        super().__init__()
        for name in ("mlflow", "alembic", "pytorch_lightning.loggers.mlflow"):  # they announce each new file
            logging.getLogger(name).setLevel(logging.ERROR)
        address, artifacts = find_mlflow_store(tracking_uri, store)
        tags = {ID: facts["id"], "group": facts["group"], "tags": " ".join(facts["tags"])}
        tags |= {"options": " ".join(facts["options"])} if facts["options"] else {}
        tags |= {f"published/{name}": str(value) for name, value in facts["published"].items()}
        options: dict[str, Any] = {"tracking_uri": address, "artifact_location": artifacts}
        self.run = MLFlowLogger(experiment, run_name=facts["name"], tags=tags, **options)
        if earlier := self._find_run(experiment, facts["id"]):
            self.run = MLFlowLogger(experiment, run_id=earlier, **options)
            self.run.experiment.update_run(earlier, status="RUNNING")

    @property
    def name(self) -> str:
        return "mlflow"

    @property
    def version(self) -> str:
        return str(self.run.run_id)

    def _find_run(self, experiment: str, run: str) -> str | None:
        """Return the MLflow id of the run that an earlier attempt has begun."""
        client = self.run._mlflow_client  # `experiment` of Lightning's logger would begin a run
        place = client.get_experiment_by_name(experiment)
        runs = client.search_runs([place.experiment_id], f"tags.`{ID}` = '{run}'", max_results=1) if place else []
        return runs[0].info.run_id if runs else None

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Add the config. Values of an earlier attempt stay: MLflow refuses to change them."""
        logged = self.run.experiment.get_run(self.run.run_id).data.params
        flat = {key: value for key, value in _flatten(params).items() if key not in logged}
        if flat:
            self.run.log_hyperparams(flat)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.run.log_metrics({FOREIGN.sub("", name): float(value) for name, value in metrics.items()}, step)

    def log_run(self, folder: Path) -> None:
        """Add the metrics of classes, the costs, the pictures and the entry of a run that has ended, and its status."""
        client, run = self.run.experiment, self.run.run_id
        record = read_record(folder)
        if numbers := record.classes | record.costs:
            self.log_metrics(numbers, record.step)
        for name, value in record.facts.items():
            client.set_tag(run, f"entry/{name}", str(value)[:5000])
        for path in (*([record.path] if record.path else []), *record.pictures):
            client.log_artifact(run, str(path))
        client.set_terminated(run, STATUS.get(record.facts.get("status", ""), "KILLED"))


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return {"optimizer.lr": "0.02", ...}, with the names that overrides have."""
    flat: dict[str, str] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        flat |= _flatten(value, f"{name}.") if isinstance(value, Mapping) else {FOREIGN.sub("", name): str(value)}
    return flat
