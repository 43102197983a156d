"""A run of another code base, and the entry that stands for it in the store.

A foreign entry has its code base in `origin`, and lies below results/foreign. It fills no cell, and no verdict, noise
or price is computed from it: its rules of training and test are not known to be ours. `lineage table --foreign` shows
it.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lineage.results.entry import Entry, digest, is_path_part


class ForeignError(ValueError):
    """Files of another code base that cannot be read as a run; the message says what was looked for."""


@dataclass(frozen=True, slots=True)
class ForeignRun:
    """A run as its files describe it; a field without a value is not known."""

    origin: str  # code base: detectron2, mmdetection, wandb, results
    name: str
    metrics: dict[str, float | None]  # by our names, in percent
    started: datetime
    config: dict[str, Any] = field(default_factory=dict)
    dataset: str = ""
    seed: int | None = None
    steps: int = 0
    status: str = "finished"
    error: str | None = None
    step_seconds: float | None = None
    peak_memory: int | None = None  # bytes
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Placement:
    """The place of runs in the store, as a person chooses it; empty fields are taken from the runs."""

    table: str | None = None
    row: str | None = None
    tier: str = "paper"
    model: str = ""
    dataset: str = ""
    note: str = ""


def make_entry(run: ForeignRun, placement: Placement, source: Path) -> Entry:
    """Return the entry of a run. Its id depends on the content alone: a run that is imported again is recognized."""
    dataset = placement.dataset or run.dataset
    config_digest = digest({"origin": run.origin, "config": run.config})
    content = json.dumps([run.origin, run.name, run.metrics, run.seed, run.steps, run.status], sort_keys=True)
    ending = hashlib.sha256(content.encode()).hexdigest()[:6]
    remarks = [*run.remarks, *([] if run.seed is not None else ["its seed is not known"])]
    note = "; ".join([part for part in (placement.note, f"imported from {source.name}: {run.name}", *remarks) if part])
    return Entry(
        id=f"{run.started.astimezone(UTC):%Y%m%dT%H%M%SZ}-{config_digest[:8]}-{ending}",
        origin=run.origin,
        table=placement.table,
        row=placement.row,
        tier=placement.tier,
        status=run.status,
        error=run.error,
        metrics=run.metrics,
        deviations=[],
        seed=run.seed or 0,
        config_digest=config_digest,
        evaluation_digest=digest({"origin": run.origin, "dataset": dataset}),
        choices={"model": make_name(placement.model or run.name), "dataset": dataset},
        started=run.started.astimezone(UTC).isoformat(timespec="seconds"),
        steps=run.steps,
        step_seconds=run.step_seconds,
        peak_memory=run.peak_memory,
        command=[],
        commit=None,
        dirty=False,
        note=note,
        config=run.config,
    )


def make_name(text: str) -> str:
    """Return a text as the name of a folder."""
    name = re.sub(r"[^\w.+=@-]+", "_", text).strip("._-~")[:100]
    return name if is_path_part(name) else "unnamed"


def read_time(text: object) -> datetime | None:
    """Read ISO 8601 or seconds since 1970; None if it is neither."""
    try:
        if isinstance(text, int | float):
            return datetime.fromtimestamp(text, UTC)
        time = datetime.fromisoformat(str(text))
    except (ValueError, OverflowError, OSError):
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def read_file_time(path: Path) -> datetime:
    """Return the time at which a file was written: the best that is known if no log says more."""
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read a log of JSON lines; a last line that was cut off is left out. Raises ForeignError for another file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ForeignError(f"{path}: cannot be read: {error}") from error
    records = []
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line) if line.strip() else {}
        except (ValueError, RecursionError) as error:
            if number == len(lines):
                break
            raise ForeignError(
                f"{path}:{number}: is no line of JSON ({error}); a log has one object per line"
            ) from error
        if isinstance(record, dict):
            records.append(record)
    return records
