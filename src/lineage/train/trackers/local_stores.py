"""Where MLflow and trackio keep their runs if no server is named; loggers and `lineage site` use the same places."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def find_mlflow_store(tracking_uri: str | None, store: Path) -> tuple[str, str | None]:
    """Return the address of MLflow's runs, and that of the artifacts of new experiments, or None if the server says.

    store: SQLite file that is used if neither `tracking_uri` nor MLFLOW_TRACKING_URI is set; artifacts lie beside it.
    """
    if address := tracking_uri or os.environ.get("MLFLOW_TRACKING_URI"):
        return address, None
    store.parent.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{store.resolve()}", store.resolve().with_suffix(".artifacts").as_uri()


def open_trackio(store: Path) -> Any:
    """Return the package trackio, with its databases in `store` unless TRACKIO_DIR names another folder."""
    os.environ.setdefault("TRACKIO_DIR", str(store.resolve()))  # read once, by the import
    import trackio

    silence(trackio)
    return trackio


def silence(library: Any) -> None:
    """Let trackio print nothing: it announces a run in seven lines, in the middle of the run's own."""
    for module in (library, library.run, library.utils):
        vars(module)["print"] = lambda *_, **__: None
