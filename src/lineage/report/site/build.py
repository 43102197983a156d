"""A site from a store, in order: runs, their parts, their errors and pictures, tables, papers, the family tree.

Everything that a run folder or a dataset would give is absent without it; the rest of the site stays as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineage.report.from_folder import read_published
from lineage.report.site.alerts import describe_alerts, find_alerts
from lineage.report.site.curves import describe_curves
from lineage.report.site.error_analysis import analyse_task
from lineage.report.site.family import describe_family
from lineage.report.site.folders import RunFolders
from lineage.report.site.in_progress import OpenRun, find_open_runs
from lineage.report.site.parts import INDEX, SiteWriter
from lineage.report.site.pictures import PictureSet, choose_positions, write_detections, write_images
from lineage.report.site.records import describe_runs
from lineage.report.site.run_details import describe_run
from lineage.report.site.tables import TableSource, write_papers, write_tables
from lineage.results import diff, store
from lineage.results.entry import Entry
from lineage.results.run_folder import RunFolder, read_metrics
from lineage.tables.costs import read_cost
from lineage.tables.samples import drop_superseded

if TYPE_CHECKING:
    from lineage.data.samples.dataset import Dataset

VERSION = 1  # of the data's format; docs/site.md describes it
TASKS = ("box", "mask")

OpenTest = Callable[[Entry], "Dataset"]  # raises an error if the dataset is not on this machine
Log = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class SiteSource:
    """Everything that a site is built from."""

    results: Path  # the store
    runs: Path  # the folder of run folders
    tables: TableSource
    open_test: OpenTest
    num_pictures: int
    log: Log = lambda text: None


def write_site(writer: SiteWriter, source: SiteSource) -> Path:
    """Write the site of a store and return its page."""
    # 1. Runs.
    contents = store.contents(source.results)
    entries, folders = drop_superseded(contents.entries), RunFolders(source.runs)
    index = describe_runs(entries)
    # 2. Curves, details, errors and pictures of each.
    tests = _Tests(source)
    for entry, run in zip(entries, index["runs"], strict=True):
        folder = folders.find(entry)
        run |= _write_run(writer, source, entry, folder)
        if folder is not None and RunFolder(folder).results.is_file():
            run |= _write_errors(writer, tests, entry, folder)
    index["open"] = [_write_open_run(writer, run) for run in find_open_runs(source.runs, {one.id for one in entries})]
    # 3. What papers claim, and where models come from.
    index |= {
        "v": VERSION,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "store": str(source.results),
        "damaged": [[str(one.path), one.reason] for one in contents.damaged],
        "tables": write_tables(writer, source.tables, entries),
        "papers": write_papers(writer, source.tables, entries),
        "family": describe_family(source.tables.loader.experiments, entries),
    }
    writer.add(INDEX, lambda: index)
    return writer.finish(f"{source.results.absolute().parent.name} · lineage")


def _write_run(writer: SiteWriter, source: SiteSource, entry: Entry, folder: Path | None) -> dict[str, Any]:
    """Add the details and the curves of a run; return the fields of its record that they fill."""
    published = read_published({"table": entry.table, "row": entry.row}, source.tables.loader.experiments)
    path = source.results / store.place(entry) / f"{entry.id}.json"
    files = RunFolder(folder) if folder is not None else None
    state = _stamp(files.per_class, files.report, files.run_log) if files else "no folder"
    writer.add(f"run/{entry.id}", lambda: describe_run(entry, folder, published, str(path)), f"{state} {published}")
    if files is None or not files.metrics.is_file():
        return {"alerts": describe_alerts(find_alerts(entry, [])), "curves": 0}

    def build() -> dict[str, Any]:
        rows = read_metrics(files.metrics)
        hours = read_cost(entry, "cost/gpu_hours")
        curves = describe_curves(rows, _images_per_step(entry), hours / entry.steps if hours and entry.steps else None)
        return curves | {"summary": describe_alerts(find_alerts(entry, rows))}

    return {"alerts": writer.add(f"curves/{entry.id}", build, _stamp(files.metrics)), "curves": 1}


def _write_open_run(writer: SiteWriter, run: OpenRun) -> dict[str, Any]:
    files = RunFolder(run.folder)
    if files.metrics.is_file():
        writer.add(f"curves/{run.id}", lambda: describe_curves(read_metrics(files.metrics), None, None),
                   _stamp(files.metrics))  # fmt: skip
    return {
        "id": run.id, "name": run.name, "status": run.status, "steps": run.step, "choices": dict(run.choices),
        "deviations": run.overrides, "curves": int(files.metrics.is_file()), "folder": str(run.folder),
    }  # fmt: skip


class _Tests:
    """The datasets of tests, each opened once."""

    def __init__(self, source: SiteSource) -> None:
        self.source = source
        self._opened: dict[str, PictureSet | str] = {}

    def name(self, entry: Entry) -> str:
        return f"{entry.evaluation_digest[:10]}-{entry.dataset.get('val', '')[:6]}"

    def open(self, entry: Entry) -> PictureSet | str:
        """Return the images of a run's test, or the reason why they cannot be shown."""
        name = self.name(entry)
        if name not in self._opened:
            self._opened[name] = self._open(entry, name)
        return self._opened[name]

    def _open(self, entry: Entry, name: str) -> PictureSet | str:
        try:
            dataset = self.source.open_test(entry)
            if entry.dataset.get("val") not in (None, dataset.fingerprint):
                return "the dataset has changed since this run was tested"
            positions = choose_positions(len(dataset), self.source.num_pictures)
            return PictureSet(name, dataset, dataset.ground_truth(), positions)
        except Exception as error:  # whatever is missing costs this view alone
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            return f"its test images cannot be read here: {reason}"


def _write_errors(writer: SiteWriter, tests: _Tests, entry: Entry, folder: Path) -> dict[str, Any]:
    """Add the error analysis and the detections of a run; return the fields of its record that they fill."""
    tasks = [task for task in TASKS if entry.metrics.get(f"{task}/AP") is not None]
    if not tasks and entry.metrics.get("voc/mAP") is not None:
        tasks = ["box"]
    if not tasks:
        return {}
    files, name = RunFolder(folder), tests.name(entry)
    key = f"{_stamp(files.results)} {name} {tests.source.num_pictures}"
    if writer.has(f"analysis/{entry.id}", key):
        return {"analysis": tasks, "test": name}
    pictures = tests.open(entry)
    if isinstance(pictures, str):
        return {"missing": pictures}
    tests.source.log(f"errors and pictures of {entry.id}")
    records = json.loads(files.results.read_text(encoding="utf-8"))
    order = [int(number) for number in pictures.dataset.ids.tolist()]
    codes: Sequence[int] = [-1] * len(records)
    analysis: dict[str, Any] = {}
    for task in tasks:
        rows = [
            i for i, record in enumerate(records) if "bbox" in record and (task == "box" or "segmentation" in record)
        ]
        errors = analyse_task(pictures.document, [records[i] for i in rows], task, order)
        analysis[task] = errors.summary
        if task == tasks[0]:
            codes = [-1] * len(records)
            for i, code in zip(rows, errors.codes, strict=True):
                codes[i] = code
    write_images(writer, pictures, f"{name} {tests.source.num_pictures}")
    write_detections(writer, pictures, entry.id, records, codes, key)
    writer.add(f"analysis/{entry.id}", lambda: {"tasks": analysis}, key)
    return {"analysis": tasks, "test": name}


def _images_per_step(entry: Entry) -> float | None:
    value = diff.at(entry.config, "schedule.images_per_step")
    return float(value) if isinstance(value, int | float) else None


def _stamp(*files: Path) -> str:
    """Return what changes when one of some files does."""
    stats = [file.stat() if file.is_file() else None for file in files]
    return " ".join("-" if one is None else f"{one.st_mtime_ns}:{one.st_size}" for one in stats)
