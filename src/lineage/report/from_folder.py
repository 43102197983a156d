"""The page of a run from what the run left in its folder."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from lineage.report.page import write_report
from lineage.tables import read
from lineage.tables.table import TableError


def report(folder: Path, experiments: Path) -> Path:
    """The page of a run from entry.json, metrics.csv, per_class.json and pictures/ in its folder."""
    entry = json.loads((folder / "entry.json").read_text(encoding="utf-8"))
    classes = folder / "per_class.json"
    per_class = json.loads(classes.read_text(encoding="utf-8")) if classes.is_file() else {}
    pictures = sorted((folder / "pictures").glob("*.png"))
    rows = curves(folder / "metrics.csv")
    return write_report(folder, entry, rows, pictures, per_class, published(entry, experiments))


def curves(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def published(entry: dict[str, Any], experiments: Path) -> dict[str, float]:
    """What the paper measured in the row that a run fills; nothing for free runs and tables that are gone."""
    if not entry.get("table"):
        return {}
    try:
        rows = read.load(experiments, entry["table"]).rows
    except TableError:
        return {}
    return dict(rows[entry["row"]].published) if entry["row"] in rows else {}
