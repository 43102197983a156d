"""Stores of a few runs on the embedded dataset, made in milliseconds: detections are the ground truth, disturbed."""

from __future__ import annotations

import csv
import json
import random
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lineage.data.shapes.dataset import Shapes
from lineage.eval.predictions.rle import encode_masks
from lineage.report.site.build import SiteSource
from lineage.report.site.run_parts import RunSource
from lineage.report.site.tables import TableSource
from lineage.results import store
from lineage.results.entry import Entry, dump
from lineage.results.run_folder import RunFolder
from lineage.run.inference.site_source import open_test
from lineage.tables.current import CurrentCell
from lineage.tables.format.load import TableLoader

EXPERIMENTS = Path(__file__).parents[3] / "experiments"
SIZE, KINDS = [96, 96], 4
HOSTILE = '</script><script>document.title="owned"</script><img src=x onerror="document.title=1">'


def make_box_mask() -> dict[str, Any]:
    """Return the mask of the box 2, 2, 14, 11."""
    mask = np.zeros(SIZE, bool)
    mask[2:13, 2:16] = True
    (rle,) = encode_masks([mask])
    return {"size": rle["size"], "counts": rle["counts"].decode("ascii")}


def open_shapes(length: int = 12) -> Shapes:
    return Shapes(seed=2, length=length, size=SIZE, kinds=KINDS)


def make_config(length: int = 12, **values: Any) -> dict[str, Any]:
    val = {"_target_": "lineage.data.shapes.dataset.Shapes", "seed": 2, "length": length, "size": SIZE, "kinds": KINDS}
    config = {
        "model": {"box": {"roi": {"sampling_ratio": 2}}},
        "roi": {"_target_": "lineage.ops.align"},
        "optimizer": {"lr": 0.02, "weight_decay": 0.0001},
        "schedule": {"steps": 400, "images_per_step": 4},
        "dataset": {"val": val},
        "seed": 0,
    }
    for key, value in values.items():
        node = config
        *path, last = key.split(".")
        for part in path:
            node = node.setdefault(part, {})
        node[last] = value
    return config


def make_entry(number: int = 0, ap: float = 30.0, **changes: Any) -> Entry:
    """Return a finished run; `number` distinguishes ids, and seeds unless one is given."""
    fields: dict[str, Any] = {
        "id": f"20261126T0{number // 3600 % 10:01d}{number // 60 % 60:02d}{number % 60:02d}Z-0123abcd-{number:06x}",
        "table": None,
        "row": None,
        "tier": "mini",
        "status": "finished",
        "metrics": {"box/AP": ap, "box/AP50": ap + 20, "box/AP75": ap - 4, "mask/AP": ap - 2.5, "mask/AP50": ap + 15},
        "deviations": [],
        "seed": number,
        "config_digest": f"{number % 7:064x}",
        "cell_digest": "c" * 64,
        "training_digest": "d" * 64,
        "evaluation_digest": "e" * 64,
        "choices": {"model": "mask_rcnn", "roi": "align", "dataset": "shapes", "tier": "mini"},
        "started": "2026-11-26T07:00:00+00:00",
        "seconds": 140.0,
        "steps": 400,
        "step_seconds": 0.3,
        "image_ms": 58.4,
        "peak_memory": 1_100_000_000,
        "parameters": 2_400_000,
        "macs": 5e8,
        "command": ["train.py", "model=mask_rcnn", f"seed={number}"],
        "commit": "3e25fe705167249af77b73c02bbee487969d8ad9",
        "dirty": False,
        "hardware": {"device": "CPU", "cores": 2},
        "dataset": {"train": "t" * 64},
        "config": make_config(),
    }
    return replace(Entry(**fields), **changes)


def write_run_folder(folder: Path, entry: Entry, skill: float = 0.8, length: int = 12) -> None:
    """Write what a run leaves; `skill` is the share of objects that it finds."""
    folder.mkdir(parents=True)
    files = RunFolder(folder)
    files.entry.write_text(dump(entry))
    write_curves(files.metrics, entry)
    files.results.write_text(json.dumps(disturb(open_shapes(length), skill, entry.seed)))
    names = open_shapes(length).meta.classes
    files.per_class.write_text(
        json.dumps({name: {"box/AP": 10.0 * i, "mask/AP": 9.0 * i} for i, name in enumerate(names)})
    )
    files.run_log.write_text("a warning <b>bold</b>\n")


def write_curves(path: Path, entry: Entry, rows: int = 20) -> None:
    chance = random.Random(entry.seed)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(
            file, ["step", "loss", "roi_box", "lr", "images_per_second", "roi_cls/accuracy", "box/AP"]
        )
        writer.writeheader()
        for i in range(1, rows + 1):
            step = i * entry.steps // rows
            row = {"step": step, "loss": 3 / i + chance.random() / 10, "roi_box": 0.5 / i, "lr": 0.02,
                   "images_per_second": 9 + chance.random(), "roi_cls/accuracy": 1 - 0.5 / i}  # fmt: skip
            writer.writerow(row)
            if i % 5 == 0:
                writer.writerow({"step": step, "box/AP": (entry.metrics["box/AP"] or 0) * i / rows})


def disturb(dataset: Shapes, skill: float, seed: int) -> list[dict[str, Any]]:
    """Return the objects of a dataset as detections: some missing, some of another class, and some of nothing."""
    chance = random.Random(seed)
    document, mask, records = dataset.ground_truth(), make_box_mask(), []
    for annotation in document["annotations"]:
        if chance.random() > skill:
            continue
        x, y, w, h = annotation["bbox"]
        category = annotation["category_id"] if chance.random() < skill else chance.choice(dataset.meta.category_ids)
        records.append({
            "image_id": annotation["image_id"], "category_id": category, "score": round(0.4 + 0.6 * chance.random(), 3),
            "bbox": [x + chance.random(), y + chance.random(), w, h], "segmentation": annotation["segmentation"],
        })  # fmt: skip
    for image in document["images"]:
        records.append({
            "image_id": image["id"], "category_id": dataset.meta.category_ids[0], "score": round(chance.random(), 3),
            "bbox": [2.0, 2.0, 14.0, 11.0], "segmentation": mask,
        })  # fmt: skip
    return records


def write_store(root: Path, entries: Sequence[Entry]) -> Path:
    for entry in entries:
        store.write(entry, root)
    return root


def make_site_source(results: Path, runs: Path, num_pictures: int = 24) -> SiteSource:
    """Return the source of a site whose tables have no runs of earlier configs."""
    loader = TableLoader(EXPERIMENTS, results, lambda table, rows: {row: CurrentCell("c" * 64, {}) for row in rows})
    return SiteSource(results, runs, TableSource(loader), RunSource(EXPERIMENTS, open_test, num_pictures))


def read_file_part(page: Path, name: str) -> Any:
    """Return a part of a site of one file."""
    text = page.read_text(encoding="utf-8")
    match = re.search(rf'<script type="application/json" data-part="{re.escape(name)}">(.*?)</script>', text, re.DOTALL)
    assert match, f"{page} has no part {name}"
    return json.loads(match[1])
