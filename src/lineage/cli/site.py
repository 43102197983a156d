"""`lineage site [STORE]`: static pages that compare all runs of a store."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from lineage.report.site.build import write_site
from lineage.report.site.parts import FOLDER, FileWriter, FolderWriter, SiteWriter
from lineage.report.site.serve import describe_state, serve_site
from lineage.results import paths
from lineage.results.store import has_entry
from lineage.run.inference.site_source import IN_FOLDER, make_source
from lineage.tables.table import TableError

IN_FILE = 24  # pictures by default
PORT = 8017
SECONDS = 5  # between two looks at the runs
TRACKERS = ("wandb", "mlflow", "trackio", "tensorboard")  # options, packages and extras of these names


def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    _check_store(args.store)
    out = args.out or args.runs / FOLDER
    if args.pictures is not None and args.pictures < 0:
        raise TableError(f"--pictures is 0 or more, not {args.pictures}")
    if is_file(out) and (option := next((name for name in ("serve", *TRACKERS) if getattr(args, name)), None)):
        raise TableError(f"--{option} needs a folder: --out {out.with_suffix('')}")
    _check_trackers(args)
    count = args.pictures if args.pictures is not None else IN_FILE if is_file(out) else IN_FOLDER
    source = make_source(args.store, args.runs, count, lambda text: print(text, file=sys.stderr))
    page = write_site(make_writer(out, SECONDS if args.serve else 0), source)
    if not args.serve:
        print(f"site     {paths.from_here(page)}")
        for line in _upload(page.parent, args):
            print(line)
        return 0
    write = partial(write_site, make_writer(out, SECONDS), source)
    serve_site(out, args.port, write, partial(describe_state, args.store, args.runs), SECONDS)
    write_site(make_writer(out), source)  # a page that asks for nothing new
    return 0


def _check_store(folder: Path) -> None:
    """Raise an error if a folder is no store: its site, without a run, would replace the one that is there.

    The default store may have no runs yet.
    """
    if not folder.is_dir():
        raise TableError(f"{folder}: there is no such store. `python train.py` makes one, `--help` says more")
    if folder.resolve() == paths.results().resolve() or has_entry(folder):
        return
    raise TableError(
        f"{folder}: no store, no file in it is the entry of a run; the site was left as it is. "
        f"A store is the folder that trainings name as `paths.results`, by default {paths.results()}: `lineage site`"
    )


def _check_trackers(args: argparse.Namespace) -> None:
    """Raise an error that says how to install the first of the packages that is not here."""
    for name in TRACKERS:
        if getattr(args, name) and find_spec(name) is None:
            raise TableError(f"--{name} needs the extra {name}: pip install -e .[{name}]")


def _upload(site: Path, args: argparse.Namespace) -> Iterator[str]:
    """Upload the site of a folder to the trackers of the options; yield a line with the address in each."""
    if args.wandb:
        from lineage.report.site.upload import wandb_upload

        yield f"W&B      {wandb_upload.upload_site(site, args.wandb)}"
    if args.mlflow:
        from lineage.report.site.upload import mlflow_upload
        from lineage.train.trackers.local_stores import find_mlflow_store

        place = find_mlflow_store(None, args.runs / "mlflow.db")
        yield f"MLflow   {mlflow_upload.upload_site(site, args.mlflow, *place)}"
    if args.trackio:
        from lineage.report.site.upload import trackio_upload
        from lineage.train.trackers.local_stores import open_trackio

        library = open_trackio(args.runs / "trackio")
        yield f"trackio  {trackio_upload.upload_site(site, args.trackio, library)}"
    if args.tensorboard:
        from lineage.report.site.upload import tensorboard_upload

        yield f"events   {tensorboard_upload.upload_site(site)}"


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
    contents = "upload pages, tables, pictures and AP by class to a"
    parser.add_argument("--wandb", metavar="PROJECT", help=f"{contents} project of W&B")
    parser.add_argument("--mlflow", metavar="EXPERIMENT", help=f"{contents}n experiment of MLflow")
    parser.add_argument("--trackio", metavar="PROJECT", help=f"{contents} project of trackio")
    events = "write tables, pictures and AP by class as events beside the site"
    parser.add_argument("--tensorboard", action="store_true", help=events)
    parser.add_argument("--port", type=int, default=PORT, help="of --serve (default: %(default)s; 0: any)")
    return parser
