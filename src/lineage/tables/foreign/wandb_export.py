"""Runs of W&B: a table exported as CSV or JSON, or a run folder with files/wandb-summary.json and files/config.yaml.

The table of the website has a column per key; that of the public API (docs.wandb.ai, "export data") has the columns
summary, config and name, of which the first two hold a mapping as text.
"""

from __future__ import annotations

import ast
import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lineage.tables.foreign.detectron2 import read_config
from lineage.tables.foreign.metric_names import translate_metrics
from lineage.tables.foreign.run import ForeignError, ForeignRun, read_file_time, read_time

SUMMARY, CONFIG = "wandb-summary.json", "config.yaml"
STATES = {"finished": "finished", "crashed": "failed", "failed": "failed", "killed": "stopped", "preempted": "stopped"}
KEYS = {"name", "state", "notes", "user", "tags", "created", "runtime", "sweep", "id", "summary", "config"}
STEPS = ("_step", "trainer/global_step", "iteration", "iter", "step")
SEEDS = ("seed", "SEED", "random_seed")


def find_summary(folder: Path) -> Path | None:
    """Return the summary of a run folder; None if it is another folder."""
    return next((path for path in (folder / SUMMARY, folder / "files" / SUMMARY) if path.is_file()), None)


def read_folder(folder: Path, summary: Path, named: Mapping[str, str], fractions: bool) -> ForeignRun:
    """Read a run folder: wandb/run-<date>_<time>-<id>."""
    file = summary.with_name(CONFIG)
    config = read_config(file) if file.is_file() else {}
    values = {key: node["value"] for key, node in config.items() if isinstance(node, dict) and "value" in node}
    record = {"name": folder.resolve().name, "summary": _read_json(summary), "config": values or config}
    return _make_run(record, summary, named, fractions)


def read_table(path: Path, named: Mapping[str, str], fractions: bool) -> list[ForeignRun]:
    """Read an exported table; runs that are in progress are left out."""
    if path.suffix.lower() == ".csv":
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                records: list[dict[str, Any]] = [dict(line) for line in csv.DictReader(file)]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise ForeignError(f"{path}: cannot be read: {error}") from error
    else:
        content = _read_json(path)
        records = content if isinstance(content, list) else [content]
        if not all(isinstance(record, dict) for record in records):
            raise ForeignError(f"{path}: holds no run, a mapping of columns to values, or a list of them")
    runs = [record for record in records if str(_find(record, "state") or "finished").lower() != "running"]
    if not runs:
        raise ForeignError(f"{path}: holds no finished run")
    return [_make_run(record, path, named, fractions) for record in runs]


def _make_run(record: dict[str, Any], path: Path, named: Mapping[str, str], fractions: bool) -> ForeignRun:
    summary, config = _read_mapping(_find(record, "summary")), _read_mapping(_find(record, "config"))
    if summary is None:  # a column per key: numbers of the summary and keys of the config stand side by side
        columns = {key: _parse(value) for key, value in record.items() if key and key.lower() not in KEYS}
        summary = config = {key: value for key, value in columns.items() if value is not None}
    config = config or {}
    metrics = translate_metrics(summary, named, fractions)
    state = str(_find(record, "state") or "finished").lower()
    seed = next((config[key] for key in SEEDS if isinstance(config.get(key), int)), None)
    steps = next((int(summary[key]) for key in STEPS if isinstance(summary.get(key), int | float)), 0)
    created = _find(record, "created") or summary.get("_timestamp")
    status = STATES.get(state, "failed")
    if status == "finished" and not metrics:
        names = ", ".join(list(summary)[:8])
        raise ForeignError(
            f"{path}: run {_find(record, 'name')} has no metric that is known by its name (it has {names}): name it, "
            "such as --metric box/AP=val/mAP"
        )
    return ForeignRun(
        origin="wandb",
        name=str(_find(record, "name") or path.stem),
        metrics=metrics,
        started=read_time(created) or read_file_time(path),
        config={key: value for key, value in config.items() if not key.startswith("_")},
        seed=seed if seed is None or seed >= 0 else None,
        steps=max(0, steps),
        status=status,
        error=None if status == "finished" else f"W&B's state: {state}",
    )


def _find(record: Mapping[str, Any], name: str) -> Any:
    """Return the value of a column, however it is capitalised."""
    return next((value for key, value in record.items() if key and key.lower() == name), None)


def _read_mapping(value: Any) -> dict[str, Any] | None:
    """Read a mapping, or its text as JSON or Python write it."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        for read in (json.loads, ast.literal_eval):
            try:
                value = read(value)
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
            break
    return value if isinstance(value, dict) else None


def _parse(text: Any) -> Any:
    """Return the number that a cell of a CSV file is, else its text; None for an empty one."""
    if not isinstance(text, str) or not text.strip():
        return None if isinstance(text, str) else text
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ForeignError(f"{path}: is no JSON that can be read: {error}") from error
