"""What a finished run leaves in its folder and says at the end."""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from lineage.tables.entry import Entry
from lineage.train.module import Reproduction

COLUMNS = ("AP", "AP50", "AP75", "APs", "APm", "APl")  # the papers' table head; an evaluator may know more


def keep(folder: Path, module: Reproduction) -> None:
    """weights.pt to start other runs from, and the detections as COCO result records."""
    torch.save(module.model.state_dict(), folder / "weights.pt")
    (folder / "results.json").write_text(json.dumps(module.evaluator.results()))
    (folder / "per_class.json").write_text(json.dumps(module.evaluator.per_class(), indent=1))


def show(entry: Entry, files: dict[str, Path], console: Console) -> None:
    console.print(table(entry.metrics))
    for what, path in files.items():
        console.print(f"{what:8} {path}", highlight=False, soft_wrap=True)
    console.print("next     " + "\n         ".join(commands(entry)), highlight=False, soft_wrap=True)


def table(metrics: dict[str, float | None]) -> Table:
    """A line per task. What the ground truth cannot measure is a dash."""
    tasks = list(dict.fromkeys(name.partition("/")[0] for name in metrics))
    columns = [column for column in COLUMNS if any(f"{task}/{column}" in metrics for task in tasks)]
    drawn = Table("", *columns, title="average precision")
    for task in tasks:
        drawn.add_row(task, *(number(metrics.get(f"{task}/{column}")) for column in columns))
    return drawn


def number(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.1f}"


def commands(entry: Entry) -> list[str]:
    """Things worth typing after this run."""
    again = f"lineage rerun {entry.id.rpartition('-')[2]}"
    if entry.table:
        return [f"lineage table {entry.table}", again]
    model = entry.choices["model"]
    return [f"python train.py -m model={model} roi=pool,align", f"python train.py -m model={model} seed=0,1,2", again]
