"""`lineage site [STORE]`: static pages that compare all runs of a store."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lineage.report.site.build import write_site
from lineage.report.site.parts import FileWriter, FolderWriter, SiteWriter
from lineage.results import paths
from lineage.run.inference.site_source import make_source
from lineage.tables.table import TableError

IN_FILE, IN_FOLDER = 24, 200  # pictures by default


def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    if not args.store.is_dir():
        raise TableError(f"{args.store}: there is no such store. `python train.py` makes one, `--help` says more")
    out = args.out or args.runs / "site"
    count = args.pictures if args.pictures is not None else IN_FILE if is_file(out) else IN_FOLDER
    source = make_source(args.store, args.runs, count, lambda text: print(text, file=sys.stderr))
    page = write_site(make_writer(out), source)
    print(f"site     {page}")
    return 0


def make_writer(out: Path) -> SiteWriter:
    """Return the writer of one file if the name ends with .html, else of a folder."""
    return FileWriter(out) if is_file(out) else FolderWriter(out)


def is_file(out: Path) -> bool:
    return out.suffix.lower() in (".html", ".htm")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lineage site", description=__doc__)
    parser.add_argument("store", nargs="?", type=Path, default=paths.results(), help="(default: %(default)s)")
    runs = paths.project() / "runs"
    parser.add_argument("--runs", type=Path, default=runs, help="run folders (default: %(default)s)")
    out = "a folder, or one file if it ends with .html (default: site in the folder of runs)"
    parser.add_argument("--out", type=Path, help=out)
    count = f"images to show of each test (default: {IN_FOLDER}, in one file {IN_FILE})"
    parser.add_argument("--pictures", type=int, metavar="N", help=count)
    return parser
