"""`lineage show ENTRY`: everything behind one entry."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from lineage.results import integrity, paths, store
from lineage.results.entry import Entry
from lineage.tables.find_entry import NAMES, find_entry


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="lineage show", description="Everything behind one entry.")
    parser.add_argument("--results", type=Path, default=paths.results(), help="the store (default: %(default)s)")
    parser.add_argument("entry", help=NAMES)
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--config", action="store_true", help="the whole resolved config, as JSON")
    part.add_argument("--diff", action="store_true", help="the code's difference to its commit, for `git apply`")
    part.add_argument("--json", action="store_true", help="the entry as it is stored")
    args = parser.parse_args(argv)
    path = find_entry(args.results, args.entry)
    entry = store.read(path)
    for edited in integrity.find_edited([path]):
        print(f"edited: {path}: {edited.reason}", file=sys.stderr)
    if args.diff:
        print(entry.diff or "", end="")
    elif args.config:
        print(json.dumps(entry.config, indent=1))
    elif args.json:
        print(path.read_text(encoding="utf-8"), end="")
    else:
        print(f"{path}\n{format_entry(entry)}", end="")
    return 0


def format_entry(entry: Entry) -> str:
    """Return a line per field; for the long ones, the command that prints them."""
    short = replace(entry, config={}, diff=None)
    lines = [
        f"{name:<24}{_format(value)}" for name, value in vars(short).items() if value not in (None, "", [], {}, ())
    ]
    lines.append(f"{'config':<24}lineage show {entry.id} --config")
    if entry.diff:
        lines.append(f"{'diff':<24}lineage show {entry.id} --diff")
    return "\n".join(lines) + "\n"


def _format(value: object) -> str:
    if isinstance(value, dict):
        return "  ".join(
            f"{name}={item:.2f}" if isinstance(item, float) else f"{name}={item}" for name, item in value.items()
        )
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
