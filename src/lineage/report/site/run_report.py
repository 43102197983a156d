"""The report of a run, report.html: the view Run of the site with the data of this run, in one file."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lineage.report.site.build import describe_site
from lineage.report.site.parts import INDEX, FileWriter, FolderWriter
from lineage.report.site.records import describe_runs
from lineage.report.site.run_parts import RunSource, RunWriter, key_of_errors
from lineage.results.entry import Entry, parse
from lineage.results.run_folder import RunFolder

NO_SITE = '"site":""'  # in the index of a report that leads to no site; quotes of texts are escaped
NO_VIEWS: dict[str, list[Any]] = {"damaged": [], "open": [], "tables": [], "papers": [], "family": []}


def write_report(folder: Path, source: RunSource, site: Path | None = None) -> Path:
    """Write report.html from what a run folder holds.

    site: the page of all runs, which the report links to, and whose error analysis it takes over.
    """
    # 1. The record of the run, as the only one of a site.
    files = RunFolder(folder)
    entry = parse(files.entry.read_text(encoding="utf-8"))
    index = describe_runs([entry]) | describe_site(folder) | NO_VIEWS
    # 2. Its parts, without the images of its test.
    writer = FileWriter(files.report)
    if site is not None:
        _copy_errors(FolderWriter(site.parent), writer, entry, files)
    run_writer = RunWriter(writer, replace(source, num_pictures=0))
    index["runs"][0] |= run_writer.write(entry, folder, files.entry)
    # 3. The page, which shows this run and links to the others.
    index["report"] = {"run": entry.id, "site": _relative_address(site, folder) if site is not None else ""}
    writer.add(INDEX, lambda: index)
    return writer.finish(f"{index['runs'][0]['name']} · lineage")


def has_link(report: Path) -> bool:
    """Return whether a report leads to the site of all runs."""
    return NO_SITE not in report.read_text(encoding="utf-8")


def _copy_errors(earlier: FolderWriter, writer: FileWriter, entry: Entry, files: RunFolder) -> None:
    """Take over the errors of a run from a site that has just matched its detections."""
    name, key = f"analysis/{entry.id}", key_of_errors(entry, files)
    if earlier.has(name, key):
        writer.add(name, lambda: earlier.read(name), key)


def _relative_address(site: Path, folder: Path) -> str:
    return quote(Path(os.path.relpath(site, folder)).as_posix())
