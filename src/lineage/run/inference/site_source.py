"""The site of a store from a command or at the end of a run: tables of the project, and the test images of runs."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import OmegaConf

import lineage.config.schema  # noqa: F401  (registers the schema)
from lineage.config.build import build
from lineage.launch.current_rows import make_finder
from lineage.report.site.build import SiteSource, write_site
from lineage.report.site.folders import RunFolders
from lineage.report.site.parts import FOLDER, FolderWriter
from lineage.report.site.run_parts import Log, RunSource
from lineage.report.site.run_report import has_link, write_report
from lineage.report.site.tables import TableSource
from lineage.results import paths
from lineage.results.entry import Entry
from lineage.results.run_folder import RunFolder
from lineage.tables.format.load import FilledTable, TableLoader
from lineage.tables.format.notes import describe_code, describe_earlier

if TYPE_CHECKING:
    from lineage.data.samples.dataset import Dataset

log = logging.getLogger(__name__)

SWITCH = "LINEAGE_SITE"  # environment: "no" writes none at the end of a run
IN_FOLDER = 200  # pictures of each test
SMALL_TEST = 20_000_000  # bytes of detections that are matched at the end of a run, in about two seconds
BUDGET = 10.0  # seconds at the end of a run for what earlier runs left to do


def make_source(
    results: Path,
    runs: Path,
    num_pictures: int = IN_FOLDER,
    show: Log = lambda text: None,
    budget: float = float("inf"),
    analysed: Collection[str] | None = None,
) -> SiteSource:
    """Return the source of the site of a store, with the tables of this project.

    show: prints a line of progress. budget: seconds for runs that the site does not show yet.
    analysed: ids of the runs whose detections may be matched now; None: all.
    """
    experiments = paths.experiments()
    loader = TableLoader(experiments, results, make_finder(paths.project(), experiments))
    tables = TableSource(loader, describe_notes)
    of_runs = RunSource(experiments, open_test, num_pictures, show, budget, analysed)
    return SiteSource(results, runs, tables, of_runs)


def has_small_test(folder: Path) -> bool:
    """Return whether the detections of a run are few enough to match them at its end."""
    test = RunFolder(folder).results
    return test.is_file() and test.stat().st_size <= SMALL_TEST


def find_small_tests(entries: Iterable[Entry], runs: Path) -> list[str]:
    """Return the ids of those runs whose detections are here and few enough to match them at the end of a command."""
    folders = RunFolders(runs)
    places = {entry.id: folders.find(entry) for entry in entries}
    return [run for run, folder in places.items() if folder is not None and has_small_test(folder)]


def update_site(results: Path, runs: Path, ids: Collection[str] = (), show: Log = lambda text: None) -> Path | None:
    """Write what is new into the site of a folder of runs and return its page; None if that failed or is switched off.

    ids: of the runs whose detections may be matched now. show: prints a line of progress.
    An error is logged: it must not change what became of a run.
    """
    if os.environ.get(SWITCH) == "no":
        return None
    try:
        source = make_source(results, runs, show=show, budget=BUDGET, analysed=ids)
        return write_site(FolderWriter(runs / FOLDER), source)
    except Exception as error:
        log.warning("the site was not written: %s: %s. `lineage site` tries again", type(error).__name__, error)
        return None


def report_run(
    folder: Path, site: Path | None = None, experiments: Path | None = None, analysed: Collection[str] | None = None
) -> Path:
    """Write report.html into a run folder, from its files.

    site: page of all runs, to link to. experiments: the folder of tables, for the paper's numbers of its row.
    analysed: ids of the runs whose detections may be matched now; None: all.
    """
    source = RunSource(experiments or paths.experiments(), open_test, num_pictures=0, analysed=analysed)
    return write_report(folder, source, site)


def link_reports(entries: Iterable[Entry], runs: Path, site: Path) -> None:
    """Write those reports again that were written before the folder of runs had a site, and so do not lead to it.

    An error is logged: the runs are done.
    """
    folders = RunFolders(runs)
    for entry in entries:
        try:
            folder = folders.find(entry)
            report = RunFolder(folder).report if folder is not None else None
            if folder is not None and report is not None and report.is_file() and not has_link(report):
                report_run(folder, site, analysed=[])
        except Exception as error:
            log.warning("%s: no link to the site: %s: %s", entry.id, type(error).__name__, error)


def open_test(entry: Entry) -> Dataset:
    """Return the validation images of a run, as it was tested on them."""
    dataset: Dataset = build(OmegaConf.create(entry.config["dataset"]["val"]))
    return dataset


def describe_notes(filled: FilledTable) -> Iterable[str]:
    """Return what `lineage table` notes of the runs of a table."""
    return [*describe_earlier(filled.earlier), *describe_code(filled.entries, paths.ROOT)]
