"""The parts of a run: details, curves, errors, detections, and the images of its test."""

from __future__ import annotations

import csv
import json
import math
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineage.report.site.alerts import WARNING, describe_alerts, find_alerts
from lineage.report.site.curves import describe_curves
from lineage.report.site.error_analysis import analyse_task
from lineage.report.site.parts import SiteWriter
from lineage.report.site.pictures import PictureSet, write_detections, write_images
from lineage.report.site.run_details import describe_run, stamp, stamp_folder, write_run_pictures
from lineage.results import diff
from lineage.results.entry import Entry
from lineage.results.run_folder import RunFolder, read_metrics
from lineage.tables.costs import read_cost
from lineage.tables.read import read_published

if TYPE_CHECKING:
    from lineage.data.samples.dataset import Dataset

TASKS = ("box", "mask")
NO_TASK = "only boxes and masks have their errors analysed, and this run measured neither"
NO_PICTURES = "this page was written without pictures"

OpenTest = Callable[[Entry], "Dataset"]  # raises an error if the dataset is not on this machine
Log = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class RunSource:
    """Everything that the parts of runs are built from, beside their entries and folders."""

    experiments: Path
    open_test: OpenTest
    num_pictures: int
    log: Log = lambda text: None
    budget: float = math.inf  # seconds for the parts of runs; those beyond it wait for the next call
    analysed: Collection[str] | None = None  # ids of the runs whose detections may be matched now; None: all


class RunWriter:
    """Writer of the parts of runs, within the budget of its source."""

    def __init__(self, writer: SiteWriter, source: RunSource) -> None:
        self.writer, self.source = writer, source
        self._tests = _Tests(source)
        self._end = time.monotonic() + source.budget
        self._published: dict[tuple[str | None, str | None], dict[str, float]] = {}

    def write(self, entry: Entry, folder: Path | None, path: Path) -> dict[str, Any]:
        """Add the parts of a run; return the fields of its record that they fill.

        folder: the run folder, None if it is not here. path: of the entry.
        """
        files = RunFolder(folder) if folder is not None else None
        fields: dict[str, Any] = {"alerts": describe_alerts(find_alerts(entry, [])), "curves": 0}
        self._write_details(entry, files, path)
        if files is not None and files.metrics.is_file():
            fields |= self._write_curves(entry, files)
        if entry.metrics and not list_tasks(entry):
            fields["missing"] = NO_TASK
        elif files is not None and files.results.is_file():
            fields |= self._write_errors(entry, files)
        return fields

    def _may_build(self, entry: Entry) -> bool:
        return time.monotonic() < self._end or entry.id in (self.source.analysed or ())

    def _write_details(self, entry: Entry, files: RunFolder | None, path: Path) -> None:
        published = self._read_published(entry)
        key = f"{stamp_folder(files) if files else 'no folder'} {published}"
        name = f"run/{entry.id}"

        def build() -> dict[str, Any]:
            details = describe_run(entry, files, published, str(path))
            return details | {"sheets": write_run_pictures(self.writer, entry.id, files) if files else []}

        if self.writer.has(name, key) or self._may_build(entry):
            self.writer.add(name, build, key)

    def _write_curves(self, entry: Entry, files: RunFolder) -> dict[str, Any]:
        name, key = f"curves/{entry.id}", stamp(files.metrics)
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
        tasks, count = list_tasks(entry), self.source.num_pictures
        fields = {"analysis": tasks} | ({"test": name_test(entry)} if count else {"missing": NO_PICTURES})
        key, has = key_of_errors(entry, files), self.writer.has
        if has(f"analysis/{entry.id}", key) and (not count or has(f"detections/{entry.id}/0", f"{key} {count}")):
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
            self._published[name] = read_published(self.source.experiments, *name)
        return self._published[name]


def key_of_errors(entry: Entry, files: RunFolder) -> str:
    """Return what the error analysis of a run is built from."""
    return f"{stamp(files.results)} {name_test(entry)}"


def name_test(entry: Entry) -> str:
    """Return the name that runs tested alike on the same images share."""
    return f"{entry.evaluation_digest[:10]}-{entry.dataset.get('val', '')[:6]}"


class _Tests:
    """The datasets of tests, each opened once."""

    def __init__(self, source: RunSource) -> None:
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
            return PictureSet(name, dataset, dataset.ground_truth(), self.source.num_pictures)
        except Exception as error:  # whatever is missing costs this view alone
            return f"its test images cannot be read here: {explain(error)}"


def explain(error: Exception) -> str:
    """Return the first line of an error; of one that holds a key alone, its type too."""
    text = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__} {text}".strip() if isinstance(error, LookupError) or not text else text


def list_tasks(entry: Entry) -> list[str]:
    """Return the tasks whose detections are matched: box and mask, if COCO's or VOC's precision was measured."""
    tasks = [task for task in TASKS if entry.metrics.get(f"{task}/AP") is not None]
    return tasks or (["box"] if entry.metrics.get("voc/mAP") is not None else [])


def write_errors(
    writer: SiteWriter, pictures: PictureSet, run: str, tasks: Sequence[str], files: RunFolder, key: str
) -> None:
    """Add the error analysis of a run, its detections, and the images of its test."""
    listed = {category["id"] for category in pictures.document["categories"]}  # areas of stuff have others
    records = [
        record for record in json.loads(files.results.read_text(encoding="utf-8")) if record["category_id"] in listed
    ]
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
    writer.add(f"analysis/{run}", lambda: {"tasks": analysis}, key)
    if count := pictures.limit:
        write_images(writer, pictures, f"{pictures.name} {count}")
        write_detections(writer, pictures, run, records, codes, f"{key} {count}")
        writer.discard(partial(_is_beyond, {f"truth/{pictures.name}", f"detections/{run}"}, len(pictures.chunks())))


def _is_beyond(owners: Collection[str], count: int, name: str) -> bool:
    """Return whether a part is a chunk of more pictures than there are now."""
    owner, _, number = name.rpartition("/")
    return owner in owners and int(number) >= count


def _images_per_step(entry: Entry) -> float | None:
    value = diff.at(entry.config, "schedule.images_per_step")
    return float(value) if isinstance(value, int | float) else None
