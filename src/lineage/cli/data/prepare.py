"""`lineage data prepare`: fetch, check and unpack a dataset, or print what to fetch and where to put it."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="as in dataset=NAME")
    parser.add_argument("root", metavar="ROOT", type=Path, help="the folder for it, as in dataset.root=ROOT")
    parser.add_argument("--keep", action="store_true", help="keep the archives after unpacking")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be fetched")
    parser.set_defaults(error=parser.error)


def run(args: argparse.Namespace) -> int:
    from lineage.data.download import SOURCES, prepare

    if args.name not in SOURCES:
        args.error(f"{args.name} is not to be fetched; these are: {', '.join(sorted(SOURCES))}")
    return prepare(args.name, args.root, SOURCES[args.name], keep=args.keep, dry_run=args.dry_run)
