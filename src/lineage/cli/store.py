"""`lineage store`: verify, merge or correct the results."""

from __future__ import annotations

import argparse
from pathlib import Path

from lineage.results import integrity, paths, store
from lineage.results.count_noun import count_noun
from lineage.results.store import Damage, StoreError


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="lineage store", description="Look after the store.")
    parser.add_argument("--results", type=Path, default=paths.results(), help="the store (default: %(default)s)")
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("verify", help="read every entry; name what is damaged or misplaced")
    merging = actions.add_parser("merge", help="copy the entries of another store that are missing here")
    merging.add_argument("source", type=Path, help="the results folder to copy from")
    fixing = actions.add_parser("correct", help="add an entry that stands in place of a wrong one")
    fixing.add_argument("entry", help="its file, its id, or a beginning or the end of the id")
    fixing.add_argument("--note", default="", help="why")
    fixing.add_argument("--metric", action="append", default=[], metavar="NAME=VALUE", help="the right value")
    fixing.add_argument("--withdraw", action="store_true", help="there is no right value: it does not count any more")
    for action in actions.choices.values():
        action.add_argument("--results", type=Path, default=argparse.SUPPRESS, help="the store")
    args = parser.parse_args(argv)
    return {"verify": _verify, "merge": _merge, "correct": _correct}[args.action](args)


def _verify(args: argparse.Namespace) -> int:
    _check_store(args.results)
    whole, damaged = integrity.verify(args.results)
    _print_damage(damaged)
    wrong = {damage.path for damage in damaged}
    print(f"{args.results}: {_count_whole(whole, integrity.count_without_digest(args.results, wrong))}, "
          f"{count_noun(len(wrong), 'file')} damaged")  # fmt: skip
    return 1 if damaged else 0


def _check_store(path: Path) -> None:
    """Raise StoreError unless a path is a folder."""
    if not path.is_dir():
        problem = "this is a file" if path.exists() else "no such folder"
        raise StoreError(f"{path}: {problem}; name a folder of entries, such as results/")


def _count_whole(whole: int, without: int) -> str:
    """Return how many entries are whole, and how many of these have a digest that their content was checked with."""
    text = f"{count_noun(whole, 'entry')} whole"
    if not without:
        return text
    return f"{text} ({whole - without} checked, {without} without a digest: written before it was recorded)"


def _merge(args: argparse.Namespace) -> int:
    _check_store(args.source)
    merged = integrity.merge(args.source, args.results)
    _print_damage(merged.refused)
    print(
        f"{args.results}: {count_noun(merged.copied, 'entry')} came, {merged.present} were there, "
        f"{len(merged.refused)} were refused"
    )
    return 1 if merged.refused else 0


def _correct(args: argparse.Namespace) -> int:
    metrics = dict(_parse_metric(text) for text in args.metric)
    old = store.read(store.find(args.results, args.entry))
    print(integrity.correct(args.results, old, args.note, metrics, args.withdraw))
    return 0


def _parse_metric(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise StoreError(f"--metric {text}: expected NAME=VALUE, for example mask/AP=30.2") from None


def _print_damage(damaged: list[Damage]) -> None:
    for damage in damaged:
        print(f"{damage.path}: {damage.reason}")
