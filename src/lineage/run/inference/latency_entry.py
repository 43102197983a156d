"""The entry of a latency: what was measured, on which machine, of which run. It claims nothing about precision.

Its metrics are costs, which tables show and never judge. It stands beside the free runs of the store; if the run fills
a row of a table that has costs alone, it stands in that row.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lineage.results import git_state, paths
from lineage.results.entry import Entry, EntryError, digest, new_id, parse
from lineage.results.paths import ROOT
from lineage.results.run_folder import RunFolder
from lineage.run.inference.latency import Latency, Workload
from lineage.tables.foreign.run import make_name
from lineage.tables.read import load_table
from lineage.tables.table import COST, TableError
from lineage.train import environment

KIND = "latency"  # the key of its settings in the config of such an entry


def make_latency_entry(
    latency: Latency, workload: Workload, *, threads: int, warmup: int, argv: Sequence[str], started: datetime
) -> Entry:
    """Return the entry of one measurement, with the identity of the run that the model comes from."""
    run = workload.untrained or read_run_entry(workload.folder)
    settings = {
        "runtime": workload.runtime, "size": list(workload.size), "batch": 1, "threads": threads,
        "device": workload.device.type, "warmup": warmup, "repeats": len(latency.milliseconds),
    }  # fmt: skip
    config: dict[str, Any] = {KIND: settings, **(run.config if run else {"model": workload.name})}
    fills_row = run is not None and has_costs_alone(run.table)
    choices = run.choices if run else {"model": make_name(workload.name)}
    code, config_digest = git_state.current(ROOT), digest(config)
    return Entry(
        id=new_id(started, config_digest),
        table=run.table if run and fills_row else None,
        row=run.row if run and fills_row else None,
        tier=run.tier if run else "paper",
        status="finished",
        metrics=to_metrics(latency),
        deviations=list(run.deviations) if run and fills_row else [],
        seed=run.seed if run else 0,
        config_digest=config_digest,
        cell_digest=run.cell_digest if run and fills_row else "",
        evaluation_digest=digest({KIND: settings}),
        choices=choices,
        started=started.isoformat(timespec="seconds"),
        seconds=round((datetime.now(UTC) - started).total_seconds(), 2),
        image_ms=round(latency.median, 3),
        parameters=run.parameters if run else None,
        macs=run.macs if run else None,
        command=[paths.portable(argv[0], ROOT), *argv[1:]],
        commit=code.commit,
        dirty=code.dirty,
        diff=code.diff,
        packages=environment.read_package_versions() | {"runtime": workload.runtime},
        hardware=environment.describe_hardware(workload.device)
        | {"threads": threads, "power": latency.power_source, "load": round(latency.load, 2)},
        host=platform.node(),
        folder=paths.portable(workload.folder.path, ROOT) if workload.folder else None,
        note=describe(workload, choices.get("model") or workload.name),
        config=config,
    )


def describe(workload: Workload, model: str) -> str:
    weights = f", {workload.untrained.note}" if workload.untrained else ""
    return f"latency of {model}: one image of {workload.size[0]} x {workload.size[1]} at a time{weights}"


def to_metrics(latency: Latency) -> dict[str, float | None]:
    power = {} if latency.watts is None else {f"{COST}watts": round(latency.watts, 2)}
    return {
        f"{COST}image_ms": round(latency.median, 3),
        f"{COST}image_ms_p95": round(latency.p95, 3),
        f"{COST}images_per_second": round(latency.images_per_second, 3),
        **power,
    }


def read_run_entry(folder: RunFolder | None) -> Entry | None:
    """Return the entry in a run folder; None without a run, or before its end."""
    if folder is None or not folder.entry.is_file():
        return None
    try:
        return parse(folder.entry.read_text(encoding="utf-8"))
    except (EntryError, OSError, UnicodeDecodeError, json.JSONDecodeError):
        return None


def has_costs_alone(table: str | None, experiments: Path | None = None) -> bool:
    """Return whether a table measures nothing but costs, so that such an entry may stand in it."""
    if table is None:
        return False
    try:
        return all(metric.startswith(COST) for metric in load_table(experiments or paths.experiments(), table).metrics)
    except TableError:  # the table is gone
        return False
