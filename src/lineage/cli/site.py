"""`lineage site [STORE]`: static pages that compare all runs of a store."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from lineage.report.site.build import write_site
from lineage.report.site.parts import FOLDER, FileWriter, FolderWriter, SiteWriter
from lineage.report.site.serve import describe_state, serve_site
from lineage.results import paths
from lineage.run.inference.site_source import IN_FOLDER, make_source
from lineage.tables.table import TableError

IN_FILE = 24  # pictures by default
PORT = 8017
SECONDS = 5  # between two looks at the runs


def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    if not args.store.is_dir():
        raise TableError(f"{args.store}: there is no such store. `python train.py` makes one, `--help` says more")
    out = args.out or args.runs / FOLDER
    if args.pictures is not None and args.pictures < 0:
        raise TableError(f"--pictures is 0 or more, not {args.pictures}")
    if (args.serve or args.wandb) and is_file(out):
        raise TableError(f"--serve and --wandb need a folder: --out {out.with_suffix('')}")
    count = args.pictures if args.pictures is not None else IN_FILE if is_file(out) else IN_FOLDER
    source = make_source(args.store, args.runs, count, lambda text: print(text, file=sys.stderr))
    page = write_site(make_writer(out, SECONDS if args.serve else 0), source)
    if not args.serve:
        print(f"site     {page}")
        if args.wandb:
            from lineage.report.site.wandb_upload import upload_site

            print(f"W&B      {upload_site(page.parent, args.wandb)}")
        return 0
    write = partial(write_site, make_writer(out, SECONDS), source)
    serve_site(out, args.port, write, partial(describe_state, args.store, args.runs), SECONDS)
    write_site(make_writer(out), source)  # a page that asks for nothing new
    return 0


def make_writer(out: Path, refresh: int = 0) -> SiteWriter:
    """Return the writer of one file if the name ends with .html, else of a folder."""
    return FileWriter(out) if is_file(out) else FolderWriter(out, refresh)


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
    parser.add_argument("--serve", action="store_true", help="show it to this machine and follow runs in progress")
    project = "upload it too: pages as an artifact, tables, pictures with boxes, AP by class"
    parser.add_argument("--wandb", metavar="PROJECT", help=project)
    parser.add_argument("--port", type=int, default=PORT, help="of --serve (default: %(default)s; 0: any)")
    return parser
