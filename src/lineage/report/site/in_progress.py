"""Runs that have no entry yet: folders of runs in progress, or that were killed."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lineage.report.site.folders import find_run_folders
from lineage.results import lease
from lineage.results.overrides import Override
from lineage.results.run_folder import RunFolder, read_metrics

LEASE = "run"  # name of the lease that a process has on its run folder
RUNNING, KILLED = "running", "killed"


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run folder without an entry."""

    id: str
    folder: Path
    name: str
    status: str
    step: int
    choices: Mapping[str, str]
    overrides: list[str]


def find_open_runs(runs: Path, ids: Collection[str]) -> list[OpenRun]:
    """Return the runs below a folder that have no entry there, and whose id is not among `ids`."""
    listed = []
    for folder in find_run_folders(runs):
        files = RunFolder(folder)
        if files.entry.is_file():
            continue
        with suppress(OSError, ValueError, AttributeError, TypeError):
            start = json.loads(files.start.read_text(encoding="utf-8"))
            run = str(start.get("id") or folder.name)
            if run in ids:
                continue
            overrides = [str(text) for text in start.get("overrides", [])]
            choices = {str(name): str(option) for name, option in start.get("choices", {}).items()}
            typed = [text for text in overrides if Override.parse(text).name not in ("model", "paths", "hydra")]
            rows = read_metrics(files.metrics)
            step = int(float(rows[-1].get("step") or 0)) if rows else 0
            name = " ".join([choices.get("model", "run"), *(text for text in typed if not text.startswith("paths."))])
            status = RUNNING if lease.holder(folder, LEASE) else KILLED
            listed.append(OpenRun(run, folder, name, status, step, choices, overrides))
    return listed
