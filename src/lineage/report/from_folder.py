"""The page of a run, made again from the files in its run folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lineage.report.page import write_report
from lineage.results.entry import upgrade_record
from lineage.results.run_folder import RunFolder, read_metrics
from lineage.tables import read
from lineage.tables.table import TableError


def report_run(folder: Path, experiments: Path, site: Path | None = None) -> Path:
    """Write report.html from entry.json, metrics.csv, per_class.json and pictures/ in the folder.

    site: the page of the site that shows the run too, for a link to it.
    """
    files = RunFolder(folder)
    entry = upgrade_record(json.loads(files.entry.read_text(encoding="utf-8")))
    per_class = json.loads(files.per_class.read_text(encoding="utf-8")) if files.per_class.is_file() else {}
    pictures = sorted(files.pictures.glob("*.png"))
    curves = read_metrics(files.metrics)
    return write_report(folder, entry, curves, pictures, per_class, read_published(entry, experiments), site)


def read_published(entry: dict[str, Any], experiments: Path) -> dict[str, float]:
    """Return the paper's numbers of the row that a run fills; {} for free runs and rows that do not exist any more."""
    if not entry.get("table"):
        return {}
    try:
        rows = read.load_table(experiments, entry["table"]).rows
    except TableError:
        return {}
    return dict(rows[entry["row"]].published) if entry["row"] in rows else {}
