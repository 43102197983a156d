"""A site from a store, in order: runs, their parts, their errors and pictures, tables, papers, the family tree.

Everything that a run folder or a dataset would give is absent without it; the rest of the site stays as it is.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from lineage.report.site.curves import describe_curves
from lineage.report.site.family import describe_family
from lineage.report.site.folders import RunFolders
from lineage.report.site.in_progress import OpenRun, find_open_runs
from lineage.report.site.parts import INDEX, SiteWriter
from lineage.report.site.records import describe_runs
from lineage.report.site.run_parts import RunSource, RunWriter, name_test, stamp
from lineage.report.site.tables import TableSource, digest_ids, write_papers, write_tables
from lineage.results import store
from lineage.results.entry import Entry
from lineage.results.run_folder import RunFolder, read_metrics
from lineage.tables.samples import drop_superseded

VERSION = 1  # of the data's format; docs/site.md describes it
PARTS_OF_RUNS, PARTS_OF_TESTS = ("run/", "curves/", "analysis/", "detections/"), ("pictures/", "truth/")


@dataclass(frozen=True, slots=True)
class SiteSource:
    """Everything that a site is built from."""

    results: Path  # the store
    runs: Path  # the folder of run folders
    tables: TableSource
    of_runs: RunSource


def write_site(writer: SiteWriter, source: SiteSource) -> Path:
    """Write the site of a store and return its page."""
    try:
        return _write_parts(writer, source)
    finally:
        gc.unfreeze()  # the cache of entries froze all objects, also those that a server leaves at every look


def _write_parts(writer: SiteWriter, source: SiteSource) -> Path:
    # 1. Runs.
    contents = store.contents(source.results)
    entries = drop_superseded(contents.entries)
    index = describe_runs(entries)
    # 2. Curves, details, errors and pictures of each, newest first.
    run_writer, folders = RunWriter(writer, source.of_runs), RunFolders(source.runs)
    for entry, run in zip(reversed(entries), reversed(index["runs"]), strict=True):
        run |= run_writer.write(entry, folders.find(entry), source.tables.loader.find_path(entry))
    index["open"] = [
        _write_open_run(writer, run) for run in find_open_runs(source.runs, {entry.id for entry in entries})
    ]
    # 3. What papers claim, and where models come from.
    index |= describe_site(source.results) | {
        "damaged": [[str(entry.path), entry.reason] for entry in contents.damaged],
        **_write_claims(writer, source, entries),
        "family": describe_family(source.tables.loader.experiments, entries),
    }
    writer.add(INDEX, lambda: index)
    # 4. Parts of runs and tests that the store does not have any more.
    runs, tests = {run["id"] for run in [*index["runs"], *index["open"]]}, {name_test(entry) for entry in entries}
    writer.discard(partial(_is_stale, runs, tests))
    return writer.finish(f"{source.results.absolute().parent.name} · lineage")


def describe_site(store: Path) -> dict[str, Any]:
    """Return what every page says of itself: its format, when it was written, and from which folder."""
    return {"v": VERSION, "written": datetime.now(UTC).isoformat(timespec="seconds"), "store": str(store)}


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
    return writer.add("claims", build, key, again=math.isinf(source.of_runs.budget))


def _write_open_run(writer: SiteWriter, run: OpenRun) -> dict[str, Any]:
    files = RunFolder(run.folder)
    if files.metrics.is_file():
        key = f"in progress {stamp(files.metrics)}"  # with its entry come alerts and other axes: they are built anew
        writer.add(f"curves/{run.id}", lambda: describe_curves(read_metrics(files.metrics), None, None), key)
    return {
        "id": run.id, "name": run.name, "table": run.table, "row": run.row, "seed": run.seed, "status": run.status,
        "steps": run.step, "choices": dict(run.choices), "deviations": run.deviations,
        "curves": int(files.metrics.is_file()), "folder": str(run.folder),
    }  # fmt: skip
