"""Runs of other code bases for the fuzz, as `lineage import` reads them: refused, or one entry that is whole."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import yaml
from benchmarks.robustness.documents import COUNTS, TEXTS, check_types
from benchmarks.robustness.fuzz import Refused, Wrong
from benchmarks.robustness.mutations import damage_bytes, damage_document

from lineage.cli.main import main
from lineage.results import store

STEPS = [{"iteration": 19, "total_loss": 1.5, "time": 0.3}, {"iteration": 39, "bbox/AP": 37.9, "segm/AP": 34.6}]
CONFIG = {"SOLVER": {"MAX_ITER": 40, "IMS_PER_BATCH": 16}, "SEED": 3, "DATASETS": {"TEST": ["coco_2017_val"]}}
MMDET = [{"mode": "train", "epoch": 1, "iter": 50, "loss": 1.2, "time": 0.3},
         {"mode": "val", "epoch": 1, "iter": 50, "bbox_mAP": 0.379, "bbox_mAP_50": 0.59}]  # fmt: skip
SUMMARY = {"box/AP": 37.9, "_step": 40, "_timestamp": 1.7e9, "seed": 1}
CSV = "Name,State,Created,box/AP,seed\na,finished,2024-01-02T03:04:05Z,37.9,1\nb,running,,,\n"


def lines(records: list[dict[str, object]]) -> bytes:
    return "".join(f"{json.dumps(record)}\n" for record in records).encode()


class Foreign:
    """A run of detectron2, of mmdetection, and of W&B; the first byte of an input is the number of the damaged file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = [
            ("detectron2/metrics.json", lines(STEPS), "detectron2"),  # type: ignore[arg-type]
            ("detectron2/config.yaml", yaml.safe_dump(CONFIG).encode(), "detectron2"),
            ("mmdet/20240101_000000.log.json", lines(MMDET), "mmdet"),  # type: ignore[arg-type]
            ("wandb/files/wandb-summary.json", json.dumps(SUMMARY).encode(), "wandb"),
            ("wandb/files/config.yaml", yaml.safe_dump({"lr": {"value": 0.1}}).encode(), "wandb"),
            ("export.csv", CSV.encode(), "export.csv"),
            ("export.json", json.dumps([SUMMARY | {"name": "a", "state": "finished"}]).encode(), "export.json"),
        ]

    def damage(self, chance: random.Random) -> bytes:
        number = chance.randrange(len(self.files))
        name, data, _ = self.files[number]
        if name.endswith(".yaml"):
            return bytes([number]) + damage_document(data, chance, yaml.safe_load, yaml.safe_dump)
        if name.endswith(".csv"):
            return bytes([number]) + damage_bytes(data, chance)
        first, _, rest = data.partition(b"\n")
        return bytes([number]) + damage_document(first, chance) + b"\n" + rest

    def read(self, data: bytes) -> None:
        for path in (self.folder / "runs", self.folder / "results"):
            shutil.rmtree(path, ignore_errors=True)
        for name, content, _ in self.files:
            (self.folder / "runs" / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / "runs" / name).write_bytes(content)
        name, _, run = self.files[data[0]]
        (self.folder / "runs" / name).write_bytes(data[1:])
        results = self.folder / "results"
        if main(["import", str(self.folder / "runs" / run), "--model", "mask_rcnn", "--results", str(results)]):
            raise Refused("import printed why")
        contents = store.contents(results)
        if contents.damaged or not contents.entries:
            raise Wrong(f"{len(contents.entries)} entries, damaged: {[item.reason for item in contents.damaged]}")
        for entry in contents.entries:
            check_types({name: getattr(entry, name) for name in (*TEXTS, *COUNTS, "metrics")})
