"""`lineage why A B`: what could explain that two entries differ, the likeliest first."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lineage.results import diff, paths, store
from lineage.results.entry import Entry
from lineage.tables.find_entry import NAMES, find_entry


def main(argv: list[str]) -> int:
    text = "What could explain that two entries differ, the likeliest first."
    parser = argparse.ArgumentParser(prog="lineage why", description=text)
    parser.add_argument("--results", type=Path, default=paths.results(), help="the store (default: %(default)s)")
    parser.add_argument("a", metavar="A", help=f"an entry: {NAMES}")
    parser.add_argument("b", metavar="B", help="of a row, the run that is most like A")
    args = parser.parse_args(argv)
    a = store.read(find_entry(args.results, args.a))
    b = store.read(find_entry(args.results, args.b, like=a))
    print(f"{a.table or 'free'} {a.row or ''} {a.id} -> {b.row or ''} {b.id}\n")
    colour, reasons = sys.stdout.isatty(), diff.explain(a, b)
    print(diff.format_section("results", diff.results(a, b), colour) or f"{describe_equal(a)}\n")
    for reason in reasons:
        print(diff.format_section(f"{reason.kind}: {reason.weight}", reason.differences, colour))
    if not reasons:
        print("nothing that an entry records differs: the program is not deterministic on this machine")
    return 0


def describe_equal(entry: Entry) -> str:
    """Return what was compared of an entry whose results do not differ from those of another."""
    if entry.metrics:
        return "no metric differs, bit by bit"
    if entry.trained_weights_sha256:
        return "neither has metrics; the trained weights are equal, bit by bit"
    return "neither has metrics or trained weights: no result was compared"
