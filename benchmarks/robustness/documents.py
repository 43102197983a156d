"""Entries, tables and result files for the fuzz, each compared with what json, PyYAML or pycocotools makes of it."""

from __future__ import annotations

import json
import math
import random
import zlib
from pathlib import Path
from typing import Any

import yaml
from benchmarks.robustness.fuzz import Refused, Wrong
from benchmarks.robustness.mutations import damage_document
from benchmarks.robustness.report import ROOT
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from lineage.cli.main import main
from lineage.results import integrity, store
from lineage.results.entry import dump
from lineage.run.inference.evaluate_results import EvaluateOptions, evaluate_by_annotations
from lineage.tables.read import parse_table

TEXTS = ("id", "tier", "status", "config_digest", "evaluation_digest", "started")  # fields that are always text
COUNTS = ("seed", "steps", "processes", "parameters")  # fields that are whole numbers of 0 or more, or null


class Entries:
    """An entry of the store with its digest, among which the damaged one lies; `show` and `table` read it."""

    def __init__(self, folder: Path) -> None:
        sample = sorted(path for path in (ROOT / "results").rglob("*.json") if not path.name.startswith("."))[0]
        self.example = json.loads(dump(store.read(sample)))
        self.root = folder / "results"
        self.path = self.root / store.place(store.read(sample)) / sample.name
        self.path.parent.mkdir(parents=True)

    def damage(self, chance: random.Random) -> bytes:
        return damage_document(json.dumps(self.example).encode(), chance)

    def read(self, data: bytes) -> None:
        self.path.write_bytes(data)
        contents = store.contents(self.root)
        damaged = integrity.verify(self.root)[1]
        table = self.example["table"] or "mask_rcnn/table2c"
        commands = [["show", str(self.path)], ["store", "verify"]]
        if zlib.crc32(data) % 10 == 0:  # for it composes every row
            commands.append(["table", table])
        for command in commands:
            main([*command, "--results", str(self.root)])
        if contents.damaged:
            raise Refused(contents.damaged[0].reason)
        record = json.loads(data)
        if record != self.example and not damaged and "content_sha256" in record:
            raise Wrong("an edited entry of which verify says nothing")
        for entry in contents.entries:
            check_types({name: getattr(entry, name) for name in (*TEXTS, *COUNTS, "metrics")})
        if damaged:
            raise Refused(damaged[0].reason)


def check_types(fields: dict[str, Any]) -> None:
    """Raise Wrong for a field of an accepted entry of another type than docs/run_folder.md says."""
    for name in TEXTS:
        if not isinstance(fields[name], str | None):
            raise Wrong(f"{name} is {fields[name]!r:.80}")
    for name in COUNTS:
        value = fields[name]
        if value is not None and (type(value) is not int or value < 0):
            raise Wrong(f"{name} is {value!r:.80}")
    for name, value in fields["metrics"].items():
        if value is not None and not (type(value) in (int, float) and math.isfinite(value)):
            raise Wrong(f"{name} is {value!r:.80}")


class Tables:
    """A table of the experiments; an accepted one has the rows, metrics and published numbers that PyYAML reads."""

    def __init__(self, folder: Path) -> None:
        self.example = (ROOT / "experiments/mask_rcnn/table2c.yaml").read_bytes()

    def damage(self, chance: random.Random) -> bytes:
        return damage_document(self.example, chance, yaml.safe_load, lambda tree: yaml.safe_dump(tree, sort_keys=False))

    def read(self, data: bytes) -> None:
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            raise Refused(str(error)) from error
        table = parse_table("mask_rcnn/table2c", text)
        document = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # which differ in tabs
        rows = {str(name): row or {} for name, row in document["rows"].items()}
        if list(table.rows) != list(rows) or list(table.metrics) != [str(name) for name in document["metrics"]]:
            raise Wrong(f"rows {list(table.rows)} and metrics {list(table.metrics)}")
        for name, row in rows.items():
            published = {metric: read_number(value) for metric, value in (row.get("published") or {}).items()}
            if table.rows[name].published != published or not all(map(math.isfinite, published.values())):
                raise Wrong(f"{name}: {table.rows[name].published}, not {published}")
            label = row.get("label")
            if label is not None and table.rows[name].label != label:
                raise Wrong(f"{name}: label {table.rows[name].label!r}, not {label!r}")
        if table.tolerance != float(document.get("tolerance", 0.5)) or not 0 <= table.tolerance < math.inf:
            raise Wrong(f"tolerance {table.tolerance}")


def read_number(value: Any) -> float:
    """Return a published number: bare, or the `value` of a mapping."""
    return float(value["value"] if isinstance(value, dict) else value)


class Results:
    """A COCO result file with boxes and masks; an accepted one scores as pycocotools scores it."""

    def __init__(self, folder: Path) -> None:
        self.truth, self.path = folder / "truth.json", folder / "results.json"
        images = [{"id": n, "file_name": f"{n}.jpg", "height": 40, "width": 50} for n in (1, 2, 3)]
        boxes = [(1, 1, 5.0, 5.0, 20.0, 20.0), (1, 2, 22.0, 8.0, 12.0, 20.0), (2, 1, 10.0, 4.0, 30.0, 25.0)]
        boxes.append((3, 2, 1.0, 2.0, 15.0, 9.0))
        annotations = [
            {"id": n, "image_id": image, "category_id": kind, "bbox": box, "area": box[2] * box[3], "iscrowd": 0,
             "segmentation": [rectangle(*box)]}
            for n, (image, kind, *box) in enumerate(boxes, 1)
        ]  # fmt: skip
        categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
        document = {"images": images, "categories": categories, "annotations": annotations}
        self.truth.write_text(json.dumps(document))
        self.example = json.dumps([
            {"image_id": image, "category_id": kind, "score": round(0.9 - 0.1 * n, 3), "bbox": [x + n, y, w, h],
             "segmentation": {"size": [40, 50], "counts": make_counts(int(x) + n, int(y), int(w), int(h))}}
            for n, (image, kind, x, y, w, h) in enumerate([*boxes, (1, 2, 3, 3, 10, 10)])
        ]).encode()  # fmt: skip

    def damage(self, chance: random.Random) -> bytes:
        return damage_document(self.example, chance)

    def read(self, data: bytes) -> None:
        self.path.write_bytes(data)
        scores = evaluate_by_annotations(self.path, self.truth, EvaluateOptions())
        records = [cure_ids(record) for record in json.loads(data)]
        for task, field in (("box", "bbox"), ("mask", "segmentation")):
            ours = scores.metrics.get(f"{task}/AP")
            if ours is None:
                continue
            theirs = score(self.truth, [record for record in records if record.get(field) is not None], field)
            if not math.isclose(ours, theirs, abs_tol=1e-6) and not (math.isnan(ours) and theirs == -100):
                raise Wrong(f"{task}/AP {ours}, of pycocotools {theirs}")


def cure_ids(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record with ids "17" and 17.0 as 17, which evaluation notes."""
    return record | {name: int(float(record[name])) for name in ("image_id", "category_id")}


def rectangle(x: float, y: float, width: float, height: float) -> list[float]:
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def make_counts(x: int, y: int, width: int, height: int) -> list[int]:
    """Return run lengths of a box on 40 x 50 pixels, column by column."""
    counts = [x * 40 + y, height]
    for _ in range(min(width, 50 - x) - 1):
        counts += [40 - height, height]
    return [*counts, 2000 - sum(counts)]


def score(truth: Path, records: list[dict[str, Any]], field: str) -> float:
    """Return pycocotools' AP in percent of the records with this field."""
    other = {"bbox": "segmentation", "segmentation": "bbox"}[field]
    coco = COCO(str(truth))
    for record in records:
        shape = record.get("segmentation")
        if isinstance(shape, dict) and isinstance(shape["counts"], list):  # loadRes takes compressed ones alone
            record["segmentation"] = coco_mask.frPyObjects(shape, *shape["size"])
    if not records:
        return 0.0
    evaluation = COCOeval(
        coco, coco.loadRes([{k: v for k, v in record.items() if k != other} for record in records]),
        {"bbox": "bbox", "segmentation": "segm"}[field],
    )  # fmt: skip
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return 100 * float(evaluation.stats[0])
