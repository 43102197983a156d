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

HIDDEN = ("model", "paths", "hydra", "trainer")  # overrides that do not tell two runs apart
LEASE = "run"  # name of the lease that a process has on its run folder
RUNNING, KILLED = "running", "killed"


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run folder without an entry."""

    id: str
    folder: Path
    name: str
    table: str | None
    row: str | None
    seed: int | None
    status: str
    step: int
    choices: Mapping[str, str]
    deviations: list[str]


def find_open_runs(runs: Path, ids: Collection[str]) -> list[OpenRun]:
    """Return the runs below a folder that began, have no entry there, and whose id is not among `ids`."""
    listed = []
    for folder in find_run_folders(runs):
        files = RunFolder(folder)
        if files.entry.is_file():
            continue
        with suppress(OSError, ValueError, RecursionError, AttributeError, TypeError):
            start = json.loads(files.start.read_text(encoding="utf-8"))
            run = str(start.get("id") or folder.name)
            if run in ids:
                continue
            overrides = [str(text) for text in start.get("overrides", [])]
            choices = {str(name): str(option) for name, option in start.get("choices", {}).items()}
            typed = [
                override for override in map(Override.parse, overrides) if override.key.partition(".")[0] not in HIDDEN
            ]
            rows = read_metrics(files.metrics)
            step = int(float(rows[-1].get("step") or 0)) if rows else 0
            table, row = find_row(choices.get("experiment", ""))
            name = f"{table} {row}" if table else " ".join([choices.get("model", "run"), *map(str, typed)])
            seed = next((override.value for override in reversed(typed) if override.name == "seed"), None) or ""
            status = RUNNING if lease.holder(folder, LEASE) else KILLED
            if status == KILLED and not (rows or start.get("id") or files.list_checkpoints()):
                continue  # refused before anything ran, as for a dataset that is not there
            number = int(seed) if seed.isdigit() else None
            deviations = [
                str(override) for override in typed if not table or override.name not in ("experiment", "seed")
            ]
            listed.append(OpenRun(run, folder, name, table, row, number, status, step, choices, deviations))
    return listed


def find_row(experiment: str) -> tuple[str | None, str | None]:
    """Return the table and the row of an option of the group `experiment`: [<tier>/]<paper>/<table>/<row>."""
    parts = experiment.split("/")
    return ("/".join(parts[-3:-1]), parts[-1]) if len(parts) >= 3 else (None, None)
