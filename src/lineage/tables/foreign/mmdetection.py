"""Runs of mmdetection: work_dir with <time>.log.json (version 2) or <time>/vis_data/*.json (version 3), JSON lines.

A line of version 2 has its `mode`; the first one holds the config as text. A line of version 3 is a test if it has
metrics; vis_data/config.py is its config.
"""

from __future__ import annotations

import re
import statistics
from datetime import datetime
from pathlib import Path
from typing import Any

from lineage.tables.foreign.metric_names import is_number, translate_metrics
from lineage.tables.foreign.run import ForeignError, ForeignRun, read_file_time, read_lines, read_time

STAMP = re.compile(r"(\d{8})_(\d{6})")
SEED = re.compile(r"^\s*(?:randomness\s*=\s*dict\([^)]*?)?seed\s*=\s*(\d+)", re.MULTILINE)
DATASET = re.compile(r"^\s*(?:data_root|dataset_type)\s*=\s*['\"]([^'\"]+)['\"]", re.MULTILINE)
MEBI = 2**20


def find_logs(folder: Path) -> list[Path]:
    """Return the logs of a work_dir, a start each, the earliest first; that of a start with its lines twice, once."""
    second = [path for path in folder.glob("*.log.json") if path.is_file()]
    third = []
    for data in {path.parent for path in folder.glob("**/vis_data/*.json")}:
        named = sorted(path for path in data.glob("*.json") if STAMP.fullmatch(path.stem))
        third += named or sorted(data.glob("scalars.json"))
    return sorted([*second, *third], key=lambda path: (_read_start(path), str(path)))


def is_log(path: Path) -> bool:
    """Return whether a file is such a log by its name or its place."""
    return path.name.endswith(".log.json") or path.parent.name == "vis_data"


def read_run(folder: Path, logs: list[Path]) -> ForeignRun:
    """Read a run from its logs: a resumed one has a log per start."""
    records = [record for log in logs for record in read_lines(log)]
    text = _read_config(folder, logs[-1], records)
    metrics: dict[str, float | None] = {}
    for record in records:
        if record.get("mode") in (None, "val", "test"):
            metrics |= translate_metrics(record)
    training = [record for record in records if is_number(record.get("loss"))]
    times = [record["time"] for record in training if is_number(record.get("time"))]
    memory = [record["memory"] for record in records if is_number(record.get("memory"))]
    seeds = [record["seed"] for record in records if isinstance(record.get("seed"), int)]
    seed = seeds[0] if seeds else next((int(match[1]) for match in SEED.finditer(text)), None)
    dataset = DATASET.search(text)
    return ForeignRun(
        origin="mmdetection",
        name=next((str(record["exp_name"]) for record in records if "exp_name" in record), folder.resolve().name),
        metrics=metrics,
        started=_read_start(logs[0]),
        config={"config.py": text} if text else {},
        dataset=dataset[1].rstrip("/") if dataset else "",
        seed=seed,
        steps=_count_steps(training),
        status="finished" if metrics else "stopped",
        error=None if metrics else "its logs hold no test",
        step_seconds=statistics.median(times) if times else None,
        peak_memory=int(max(memory) * MEBI) if memory else None,
    )


def _count_steps(training: list[dict[str, Any]]) -> int:
    """Return the last logged step: `step` of version 3; version 2 counts `iter` anew in each epoch."""
    steps: list[int] = [record["step"] for record in training if isinstance(record.get("step"), int)]
    if steps:
        return max(steps)
    of_epoch: dict[Any, int] = {}
    for record in training:
        if isinstance(record.get("iter"), int):
            of_epoch[record.get("epoch")] = max(record["iter"], of_epoch.get(record.get("epoch"), 0))
    return sum(of_epoch.values())


def _read_config(folder: Path, log: Path, records: list[dict[str, Any]]) -> str:
    """Return the text of the config: of the log's first line, else of vis_data, else of the folder."""
    for record in records:
        if isinstance(record.get("config"), str):
            return str(record["config"])
    for path in (log.parent / "config.py", *sorted(folder.glob("*.py"))):
        if path.is_file():
            try:
                return path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise ForeignError(f"{path}: cannot be read: {error}") from error
    return ""


def _read_start(log: Path) -> datetime:
    """Return the time in the name of a log or of its folders, else that of the file."""
    for name in (log.name, *(parent.name for parent in log.parents)):
        if match := STAMP.search(name):
            time = read_time(f"{match[1]}T{match[2]}")
            if time is not None:
                return time
    return read_file_time(log)
