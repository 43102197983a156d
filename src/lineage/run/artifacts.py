"""Save what a finished run leaves in its folder, and print its end."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from lineage.report.from_folder import report_run
from lineage.report.pictures import save_predictions
from lineage.results import paths, store
from lineage.results.atomic import atomic_write
from lineage.results.entry import Entry
from lineage.results.run_folder import RunFolder
from lineage.run.assemble import Parts
from lineage.tables.numbers import format_number
from lineage.train.entry_writer import EntryWriter
from lineage.weights import state_dict

OTHERS = ("APr", "APc", "APf", "mAP07", "mAP", "PQ", "SQ", "RQ", "mIoU")  # of LVIS, VOC and panoptic evaluation
RECALLS = ("AR10", "AR100", "AR300", "AR1000", "R300")  # of proposals, which have no precision
COLUMNS = ("AP", "AP50", "AP75", "APs", "APm", "APl")  # the papers' table head; an evaluator may know more


def save_artifacts(folder: Path, parts: Parts) -> str:
    """Weights to start other runs from, whose sha256 is returned, and the detections as COCO result records."""
    files, evaluator = RunFolder(folder), parts.module.evaluator
    weights = parts.model.state_dict()
    atomic_write(files.weights, lambda temporary: torch.save(weights, temporary), durable=True)
    atomic_write(files.results, json.dumps(evaluator.results()))
    atomic_write(files.per_class, json.dumps(evaluator.per_class(), indent=1))
    meta = asdict(parts.data.val.meta)
    atomic_write(files.classes, json.dumps(meta, indent=1))  # `lineage predict` needs no dataset then
    return state_dict.sha256(parts.model)


def draw_predictions(folder: Path, parts: Parts) -> None:
    """Pictures of a few detections."""
    files, evaluator = RunFolder(folder), parts.module.evaluator
    files.pictures.mkdir(exist_ok=True)
    save_predictions(parts.data.val, evaluator.results(), files.pictures / "predictions.png")


def show(folder: Path, writer: EntryWriter, console: Console) -> None:
    path = writer.write("finished")
    entry = store.read(path)
    lines = {
        "entry": path,
        "picture": next(RunFolder(folder).pictures.glob("*.png"), "-"),
        "report": report_run(folder, paths.experiments()),
        "next": "\n         ".join(commands(entry)),
    }
    console.print(table(entry.metrics))
    for name, text in lines.items():
        console.print(f"{name:8} {text}", highlight=False, soft_wrap=True)


def table(metrics: dict[str, float | None]) -> Table:
    """Draw a line per task; a dash is what the ground truth cannot measure."""
    tasks = list(dict.fromkeys(name.partition("/")[0] for name in metrics))
    usual = COLUMNS if any(name.endswith("/AP") for name in metrics) else (*COLUMNS, *RECALLS)
    columns = [column for column in (*usual, *OTHERS) if any(f"{task}/{column}" in metrics for task in tasks)]
    drawn = Table("", *columns, title="average precision")
    for task in tasks:
        drawn.add_row(task, *(format_number(metrics.get(f"{task}/{column}")) for column in columns))
    return drawn


def commands(entry: Entry) -> list[str]:
    """Things worth typing after this run."""
    again = f"lineage rerun {entry.id.rpartition('-')[2]}"
    if entry.table:
        return [f"lineage table {entry.table}", again]
    model = entry.choices["model"]
    train = paths.train_command()
    return [f"{train} -m model={model} roi=pool,align", f"{train} -m model={model} seed=0,1,2", again]
