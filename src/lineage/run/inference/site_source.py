"""The site of a store from a command or at the end of a run: tables of the project, and the test images of runs."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import OmegaConf

import lineage.config.schema  # noqa: F401  (registers the schema)
from lineage.config.build import build
from lineage.launch.current_rows import make_finder
from lineage.report.site.build import SiteSource, write_site
from lineage.report.site.parts import FOLDER, FolderWriter
from lineage.report.site.tables import TableSource
from lineage.results import paths
from lineage.results.entry import Entry
from lineage.tables.format.load import FilledTable, TableLoader
from lineage.tables.format.notes import describe_code, describe_earlier

if TYPE_CHECKING:
    from lineage.data.samples.dataset import Dataset

log = logging.getLogger(__name__)

SWITCH = "LINEAGE_SITE"  # environment: "no" writes none at the end of a run
IN_FOLDER = 200  # pictures of each test
BUDGET = 10.0  # seconds at the end of a run for what earlier runs left to do


def make_source(
    results: Path,
    runs: Path,
    num_pictures: int = IN_FOLDER,
    show: Callable[[str], None] = lambda text: None,
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
    return SiteSource(results, runs, tables, open_test, num_pictures, show, budget, analysed)


def update_site(results: Path, runs: Path, ids: Collection[str] = ()) -> Path | None:
    """Write what is new into the site of a folder of runs and return its page; None if that failed or is switched off.

    ids: of the runs whose detections may be matched now. An error is logged: it must not change what became of a run.
    """
    if os.environ.get(SWITCH) == "no":
        return None
    try:
        source = make_source(results, runs, budget=BUDGET, analysed=ids)
        return write_site(FolderWriter(runs / FOLDER), source)
    except Exception as error:
        log.warning("the site was not written: %s: %s. `lineage site` tries again", type(error).__name__, error)
        return None


def open_test(entry: Entry) -> Dataset:
    """Return the validation images of a run, as it was tested on them."""
    dataset: Dataset = build(OmegaConf.create(entry.config["dataset"]["val"]))
    return dataset


def describe_notes(filled: FilledTable) -> Iterable[str]:
    """Return what `lineage table` notes of the runs of a table."""
    return [*describe_earlier(filled.earlier), *describe_code(filled.entries, paths.ROOT)]
