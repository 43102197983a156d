"""What the static site of a store is built from: tables of the project, and the test images of runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import OmegaConf

import lineage.config.schema  # noqa: F401  (registers the schema)
from lineage.config.build import build
from lineage.launch.current_rows import make_finder
from lineage.report.site.build import SiteSource
from lineage.report.site.tables import TableSource
from lineage.results import paths
from lineage.results.entry import Entry
from lineage.tables.format.load import FilledTable, TableLoader
from lineage.tables.format.notes import describe_code, describe_earlier

if TYPE_CHECKING:
    from lineage.data.samples.dataset import Dataset


def make_source(results: Path, runs: Path, num_pictures: int, log: Callable[[str], None]) -> SiteSource:
    """Return the source of the site of a store, with the tables of this project."""
    experiments = paths.experiments()
    loader = TableLoader(experiments, results, make_finder(paths.project(), experiments))
    return SiteSource(results, runs, TableSource(loader, describe_notes), open_test, num_pictures, log)


def open_test(entry: Entry) -> Dataset:
    """Return the validation images of a run, as it was tested on them."""
    dataset: Dataset = build(OmegaConf.create(entry.config["dataset"]["val"]))
    return dataset


def describe_notes(filled: FilledTable) -> Iterable[str]:
    """Return what `lineage table` notes of the runs of a table."""
    return [*describe_earlier(filled.earlier), *describe_code(filled.entries, paths.ROOT)]
