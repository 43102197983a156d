"""`lineage rerun ENTRY`: the same code, the same config, the same seed; are the metrics the same, bit by bit?"""

from __future__ import annotations

import argparse
from pathlib import Path

from lineage.launch.rerun import (
    RerunError,
    check_is_training,
    compare_runs,
    explain_code_difference,
    original_overrides,
    repeat_run,
)
from lineage.results import git_state, paths, store


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="lineage rerun", description="Repeat an entry's run and compare the metrics.")
    parser.add_argument("entry", help="its file, its id, or a beginning or the end of the id")
    parser.add_argument("--allow-dirty", action="store_true", help="run even if the code here is not the entry's")
    parser.add_argument("--results", type=Path, default=paths.results(), help="the store (default: %(default)s)")
    args = parser.parse_args(argv)
    old = store.read(store.find(args.results, args.entry))
    check_is_training(old)
    difference = explain_code_difference(old, git_state.current(paths.project()))
    if difference and not args.allow_dirty:
        raise RerunError(f"{old.id}: {difference}\nTo run with the code that is here, add --allow-dirty.")
    is_equal, text = compare_runs(old, repeat_run(old, original_overrides(old, args.results), args.results))
    print(text)
    return 0 if is_equal else 1
