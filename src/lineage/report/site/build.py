"""A site from a store, in order: runs, their parts, their errors and pictures, tables, papers, the family tree.

Everything that a run folder or a dataset would give is absent without it; the rest of the site stays as it is.
"""

from __future__ import annotations

import csv
import gc
import json
import math
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineage.report.from_folder import read_published
from lineage.report.site.alerts import WARNING, describe_alerts, find_alerts
from lineage.report.site.curves import describe_curves
from lineage.report.site.error_analysis import analyse_task
from lineage.report.site.family import describe_family
from lineage.report.site.folders import RunFolders
from lineage.report.site.in_progress import OpenRun, find_open_runs
from lineage.report.site.parts import INDEX, SiteWriter
from lineage.report.site.pictures import PictureSet, choose_positions, write_detections, write_images
from lineage.report.site.records import describe_runs
from lineage.report.site.run_details import describe_run
from lineage.report.site.tables import TableSource, digest_ids, write_papers, write_tables
from lineage.results import diff, store
from lineage.results.entry import Entry
from lineage.results.run_folder import RunFolder, read_metrics
from lineage.tables.costs import read_cost
from lineage.tables.samples import drop_superseded

if TYPE_CHECKING:
    from lineage.data.samples.dataset import Dataset

VERSION = 1  # of the data's format; docs/site.md describes it
TASKS = ("box", "mask")
PARTS_OF_RUNS, PARTS_OF_TESTS = ("run/", "curves/", "analysis/", "detections/"), ("pictures/", "truth/")

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
    budget: float = math.inf  # seconds for the parts of runs; those beyond it wait for the next call
    analysed: Collection[str] | None = None  # ids of the runs whose detections may be matched now; None: all


def write_site(writer: SiteWriter, source: SiteSource) -> Path:
    """Write the site of a store and return its page."""
    try:
        return _write_parts(writer, source)
    finally:
        gc.unfreeze()  # the cache of entries froze all objects, those of torch too, which warns of leaks at its end


def _write_parts(writer: SiteWriter, source: SiteSource) -> Path:
    # 1. Runs.
    contents = store.contents(source.results)
    entries = drop_superseded(contents.entries)
    index = describe_runs(entries)
    # 2. Curves, details, errors and pictures of each, newest first.
    run_writer = RunWriter(writer, source)
    for entry, run in zip(reversed(entries), reversed(index["runs"]), strict=True):
        run |= run_writer.write(entry)
    index["open"] = [_write_open_run(writer, run) for run in find_open_runs(source.runs, {one.id for one in entries})]
    # 3. What papers claim, and where models come from.
    index |= {
        "v": VERSION,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "store": str(source.results),
        "damaged": [[str(one.path), one.reason] for one in contents.damaged],
        **_write_claims(writer, source, entries),
        "family": describe_family(source.tables.loader.experiments, entries),
    }
    writer.add(INDEX, lambda: index)
    # 4. Parts of runs and tests that the store does not have any more.
    runs, tests = {run["id"] for run in [*index["runs"], *index["open"]]}, {name_test(entry) for entry in entries}
    writer.discard(partial(_is_stale, runs, tests))
    return writer.finish(f"{source.results.absolute().parent.name} · lineage")


def _is_stale(runs: Collection[str], tests: Collection[str], name: str) -> bool:
    """Return whether a part is of a run or a test that is not listed; others are written anew when they change."""
    owner = [*name.split("/"), ""][1]
    return (name.startswith(PARTS_OF_RUNS) and owner not in runs) or (
        name.startswith(PARTS_OF_TESTS) and owner not in tests
    )


def _write_claims(writer: SiteWriter, source: SiteSource, entries: Sequence[Entry]) -> Any:
    """Add tables and papers; return the summaries of both. Within a budget, only if a run of a table is new."""

    def build() -> dict[str, Any]:
        tables = write_tables(writer, source.tables, entries)
        return {"summary": {"tables": tables, "papers": write_papers(writer, source.tables, entries)}}

    files = sorted(source.tables.loader.experiments.rglob("*.yaml"))
    newest = max((file.stat().st_mtime_ns for file in files), default=0)
    key = f"{digest_ids(entry for entry in entries if entry.table)} {newest} {len(files)}"
    return writer.add("claims", build, key, again=math.isinf(source.budget))


class RunWriter:
    """Writer of the parts of runs, within the budget of its source."""

    def __init__(self, writer: SiteWriter, source: SiteSource) -> None:
        self.writer, self.source = writer, source
        self._folders, self._tests = RunFolders(source.runs), _Tests(source)
        self._end = time.monotonic() + source.budget
        self._published: dict[tuple[str | None, str | None], dict[str, float]] = {}

    def write(self, entry: Entry) -> dict[str, Any]:
        """Add the parts of a run; return the fields of its record that they fill."""
        folder = self._folders.find(entry)
        files = RunFolder(folder) if folder is not None else None
        fields: dict[str, Any] = {"alerts": describe_alerts(find_alerts(entry, [])), "curves": 0}
        self._write_details(entry, folder)
        if files is not None and files.metrics.is_file():
            fields |= self._write_curves(entry, files)
        if files is not None and files.results.is_file():
            fields |= self._write_errors(entry, files)
        return fields

    def _may_build(self, entry: Entry) -> bool:
        return time.monotonic() < self._end or entry.id in (self.source.analysed or ())

    def _write_details(self, entry: Entry, folder: Path | None) -> None:
        published = self._read_published(entry)
        path = self.source.results / store.place(entry) / f"{entry.id}.json"
        files = RunFolder(folder) if folder is not None else None
        key = f"{_stamp(files.per_class, files.report, files.run_log) if files else 'no folder'} {published}"
        name = f"run/{entry.id}"
        if self.writer.has(name, key) or self._may_build(entry):
            self.writer.add(name, lambda: describe_run(entry, folder, published, str(path)), key)

    def _write_curves(self, entry: Entry, files: RunFolder) -> dict[str, Any]:
        name, key = f"curves/{entry.id}", _stamp(files.metrics)
        if not (self.writer.has(name, key) or self._may_build(entry)):
            return {}

        def build() -> dict[str, Any]:
            rows, hours = read_metrics(files.metrics), read_cost(entry, "cost/gpu_hours")
            step_hours = hours / entry.steps if hours and entry.steps else None
            summary = {"summary": describe_alerts(find_alerts(entry, rows))}
            return describe_curves(rows, _images_per_step(entry), step_hours) | summary

        try:
            return {"alerts": self.writer.add(name, build, key), "curves": 1}
        except (OSError, ValueError, csv.Error) as error:
            return {"alerts": [[WARNING, f"its curves cannot be read: {explain(error)}"]]}

    def _write_errors(self, entry: Entry, files: RunFolder) -> dict[str, Any]:
        tasks, test = list_tasks(entry), name_test(entry)
        key = f"{_stamp(files.results)} {test} {self.source.num_pictures}"
        fields = {"analysis": tasks, "test": test}
        if not tasks:
            return {}
        if self.writer.has(f"analysis/{entry.id}", key):
            return fields
        if self.source.analysed is not None and entry.id not in self.source.analysed:
            return {"missing": "its detections are not matched yet; `lineage site` does that"}
        pictures = self._tests.open(entry)
        if isinstance(pictures, str):
            return {"missing": pictures}
        self.source.log(f"errors and pictures of {entry.id}")
        try:
            write_errors(self.writer, pictures, entry.id, tasks, files, key)
        except Exception as error:  # of a file that was cut off, or of an image that is gone
            return {"missing": f"its detections cannot be read: {explain(error)}"}
        return fields

    def _read_published(self, entry: Entry) -> dict[str, float]:
        name = (entry.table, entry.row)
        if name not in self._published:
            experiments = self.source.tables.loader.experiments
            self._published[name] = read_published({"table": entry.table, "row": entry.row}, experiments)
        return self._published[name]


def _write_open_run(writer: SiteWriter, run: OpenRun) -> dict[str, Any]:
    files = RunFolder(run.folder)
    if files.metrics.is_file():
        writer.add(f"curves/{run.id}", lambda: describe_curves(read_metrics(files.metrics), None, None),
                   _stamp(files.metrics))  # fmt: skip
    return {
        "id": run.id, "name": run.name, "status": run.status, "steps": run.step, "choices": dict(run.choices),
        "deviations": run.overrides, "curves": int(files.metrics.is_file()), "folder": str(run.folder),
    }  # fmt: skip


def name_test(entry: Entry) -> str:
    """Return the name that runs tested alike on the same images share."""
    return f"{entry.evaluation_digest[:10]}-{entry.dataset.get('val', '')[:6]}"


class _Tests:
    """The datasets of tests, each opened once."""

    def __init__(self, source: SiteSource) -> None:
        self.source = source
        self._opened: dict[str, PictureSet | str] = {}

    def open(self, entry: Entry) -> PictureSet | str:
        """Return the images of a run's test, or the reason why they cannot be shown."""
        name = name_test(entry)
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
            return f"its test images cannot be read here: {explain(error)}"


def explain(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def list_tasks(entry: Entry) -> list[str]:
    """Return the tasks whose detections are matched: box and mask, if COCO's or VOC's precision was measured."""
    tasks = [task for task in TASKS if entry.metrics.get(f"{task}/AP") is not None]
    return tasks or (["box"] if entry.metrics.get("voc/mAP") is not None else [])


def write_errors(
    writer: SiteWriter, pictures: PictureSet, run: str, tasks: Sequence[str], files: RunFolder, key: str
) -> None:
    """Add the error analysis of a run, its detections, and the images of its test."""
    records = json.loads(files.results.read_text(encoding="utf-8"))
    order = [int(number) for number in pictures.dataset.ids.tolist()]
    codes, analysis = [-1] * len(records), {}
    for task in tasks:
        field = "bbox" if task == "box" else "segmentation"
        rows = [i for i, record in enumerate(records) if field in record and "bbox" in record]
        errors = analyse_task(pictures.document, [records[i] for i in rows], task, order)
        analysis[task] = errors.summary
        if task == tasks[0]:
            for i, code in zip(rows, errors.codes, strict=True):
                codes[i] = code
    write_images(writer, pictures, f"{pictures.name} {len(pictures.positions)}")
    write_detections(writer, pictures, run, records, codes, key)
    writer.add(f"analysis/{run}", lambda: {"tasks": analysis}, key)


def _images_per_step(entry: Entry) -> float | None:
    value = diff.at(entry.config, "schedule.images_per_step")
    return float(value) if isinstance(value, int | float) else None


def _stamp(*files: Path) -> str:
    """Return what changes when one of some files does."""
    stats = [file.stat() if file.is_file() else None for file in files]
    return " ".join("-" if one is None else f"{one.st_mtime_ns}:{one.st_size}" for one in stats)
