"""`lineage report RUN_FOLDER`: writes report.html again from the files in a run folder."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lineage.report.site.parts import FOLDER, PAGE
from lineage.results import paths
from lineage.results.entry import parse
from lineage.results.run_folder import RunFolder
from lineage.run.inference.site_source import report_run
from lineage.tables.find_entry import locate_run


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="lineage report", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="RUN_FOLDER", help="such as runs/20261123-101500-000000, or last")
    parser.add_argument("--experiments", type=Path, default=paths.experiments(), help="where the papers' tables are")
    args = parser.parse_args(argv)
    folder = locate_run(args.folder, paths.results())
    entry = RunFolder(folder).entry
    if not entry.is_file():
        print(f"{folder} has no {entry.name}: name the folder of a run that has ended.", file=sys.stderr)
        return 1
    try:
        parse(entry.read_text(encoding="utf-8"))
    except ValueError as error:
        print(f"{entry} is damaged: {error}. The store has a copy of it: copy that here", file=sys.stderr)
        return 1
    site = folder.parent / FOLDER / PAGE
    print(report_run(folder, site if site.is_file() else None, args.experiments))
    return 0
