"""The commands about single entries: `lineage why`, `show` and `store`."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from lineage.results import cache, diff, integrity, paths
from lineage.results import store as files
from lineage.results.entry import Entry, dump
from lineage.tables.samples import drop_superseded

ENTRY = "its file, its id, a beginning or the end of the id, or a row: its newest finished run"


def show(argv: list[str]) -> int:
    parser = _parser("show", "Everything behind one entry.")
    parser.add_argument("entry", help=ENTRY)
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--config", action="store_true", help="the whole resolved config, as JSON")
    part.add_argument("--diff", action="store_true", help="the code's difference to its commit, for `git apply`")
    part.add_argument("--json", action="store_true", help="the entry as it is stored")
    asked = parser.parse_args(argv)
    path = found(asked.results, asked.entry)
    entry = files.read(path)
    if asked.diff:
        print(entry.diff or "", end="")
    elif asked.config:
        print(json.dumps(entry.config, indent=1))
    elif asked.json:
        print(dump(entry), end="")
    else:
        print(f"{path}\n{_summary(entry)}", end="")
    return 0


def store(argv: list[str]) -> int:
    parser = _parser("store", "Look after the store.")
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
    asked = parser.parse_args(argv)
    return {"verify": _verify, "merge": _merge, "correct": _correct}[asked.action](asked)


def _verify(asked: argparse.Namespace) -> int:
    whole, damaged = integrity.verify(asked.results)
    _damage(damaged)
    print(f"{asked.results}: {whole} entries are whole, {len({damage.path for damage in damaged})} files are not")
    return 1 if damaged else 0


def _merge(asked: argparse.Namespace) -> int:
    done = integrity.merge(asked.source, asked.results)
    _damage(done.refused)
    print(f"{asked.results}: {done.copied} entries came, {done.present} were there, {len(done.refused)} were refused")
    return 1 if done.refused else 0


def _correct(asked: argparse.Namespace) -> int:
    metrics = dict(_named_value(text) for text in asked.metric)
    old = files.read(files.find(asked.results, asked.entry))
    print(integrity.correct(asked.results, old, asked.note, metrics, asked.withdraw))
    return 0


def _named_value(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise files.StoreError(f"--metric {text}: expected NAME=VALUE, for example mask/AP=30.2") from None


def _damage(damaged: list[files.Damage]) -> None:
    for damage in damaged:
        print(f"{damage.path}: {damage.reason}")


def why(argv: list[str]) -> int:
    parser = _parser("why", "What could explain that two entries differ, the likeliest first.")
    parser.add_argument("a", metavar="A", help=f"an entry: {ENTRY}")
    parser.add_argument("b", metavar="B", help="of a row, the run that is most like A")
    asked = parser.parse_args(argv)
    a = files.read(found(asked.results, asked.a))
    b = files.read(found(asked.results, asked.b, like=a))
    print(f"{a.table or 'free'} {a.row or ''} {a.id} -> {b.row or ''} {b.id}\n")
    changed = diff.metrics(a, b)
    section("metrics", changed) if changed else print("no metric differs, bit by bit\n")
    reasons = diff.explain(a, b)
    for reason in reasons:
        section(f"{reason.what}: {reason.weight}", reason.found)
    if not reasons:
        print("nothing that an entry records differs: the program is not deterministic on this machine")
    return 0


def _parser(name: str, text: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"lineage {name}", description=text)
    parser.add_argument("--results", type=Path, default=paths.results(), help="the store (default: %(default)s)")
    return parser


def found(results: Path, name: str, like: Entry | None = None) -> Path:
    """The file of an entry; of a row, its newest finished run, if there is one of the tier and seed of `like`."""
    folder = results / name
    if not (name.count("/") > 1 and folder.is_dir()):
        return files.find(results, name)
    runs = [entry for entry in drop_superseded(cache.contents(folder).entries) if entry.status == "finished"]
    if not runs:
        raise files.StoreError(f"{folder} has no finished run; `lineage table {name.rpartition('/')[0]}` says more")
    near = [(entry.tier, entry.seed) == (like.tier, like.seed) if like else True for entry in runs]
    newest = max(zip(near, runs, strict=True), key=lambda pair: (pair[0], pair[1].id))[1]
    return folder / f"{newest.id}.json"


def section(title: str, found: list[diff.Difference]) -> None:
    if found:
        colour = sys.stdout.isatty()
        print(title, *(f"  {difference.told(colour)}" for difference in found), "", sep="\n")


def _summary(entry: Entry) -> str:
    """Every field on a line of its own; the long ones are named with the flag that prints them."""
    short = replace(entry, config={}, diff=None)
    lines = [f"{name:<24}{_value(value)}" for name, value in vars(short).items() if value not in (None, "", [], {}, ())]
    lines.append(f"{'config':<24}lineage show {entry.id} --config")
    if entry.diff:
        lines.append(f"{'diff':<24}lineage show {entry.id} --diff")
    return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    if isinstance(value, dict):
        return "  ".join(
            f"{name}={item:.2f}" if isinstance(item, float) else f"{name}={item}" for name, item in value.items()
        )
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
