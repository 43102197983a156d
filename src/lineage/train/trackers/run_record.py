"""Record of a run that has ended, as every tracker gets it: its entry, costs, metrics of classes, pictures."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lineage.results.run_folder import RunFolder

COSTS = ("seconds", "step_seconds", "images_per_second", "image_ms", "peak_memory", "parameters", "macs", "processes")
FACTS = ("id", "status", "error", "steps", "commit", "dirty", "dataset", "choices", "command", "evaluated_weights")


@dataclass(frozen=True, slots=True)
class RunRecord:
    """Record of what the folder of a run holds; a failed run may have the entry alone."""

    path: Path | None = None  # of the entry
    facts: dict[str, Any] = field(default_factory=dict)  # status, commit, fingerprints of the dataset, choices, ...
    metrics: dict[str, float] = field(default_factory=dict)  # of the last evaluation
    costs: dict[str, float] = field(default_factory=dict)  # {"cost/seconds": 81.2, ...}
    classes: dict[str, float] = field(default_factory=dict)  # {"class/disc/box/AP": 31.0, ...}
    pictures: list[Path] = field(default_factory=list)

    @property
    def step(self) -> int:
        return int(self.facts.get("steps") or 0)


def read_record(folder: Path) -> RunRecord:
    """Return the record of the run in a folder."""
    files = RunFolder(folder)
    entry = json.loads(files.entry.read_text(encoding="utf-8")) if files.entry.is_file() else {}
    per_class = json.loads(files.per_class.read_text(encoding="utf-8")) if files.per_class.is_file() else {}
    classes = {
        f"class/{label}/{name}": value for label, metrics in per_class.items() for name, value in metrics.items()
    }
    return RunRecord(
        path=files.entry if entry else None,
        facts={name: entry[name] for name in FACTS if entry.get(name) is not None},
        metrics=_select_numbers(entry.get("metrics", {})),
        costs=_select_numbers({f"cost/{name}": entry.get(name) for name in COSTS}),
        classes=_select_numbers(classes),
        pictures=sorted(files.pictures.glob("*.png")),
    )


def _select_numbers(values: dict[str, Any]) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None}
