"""The commands about single entries: `lineage compare`, `why`, `show` and `store`."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

from lineage.tables import diff, integrity, places, render
from lineage.tables import store as files
from lineage.tables.entry import Entry, dump

SAME_RUN = ("entry", "paths", "seed", "track")  # keys of a config that say nothing about what was computed


def compare(argv: list[str]) -> int:
    parser = _parser("compare", "What two entries did differently, and what came of it.")
    parser.add_argument("a", help="an entry: its file, its id, or a beginning or the end of the id")
    parser.add_argument("b")
    asked = parser.parse_args(argv)
    a, b = (files.read(files.find(asked.results, name)) for name in (asked.a, asked.b))
    choices = diff.configs(_groups(a), _groups(b))
    _section("choices", choices)
    chosen = tuple(found.key for found in choices)  # an option's keys all differ: naming the option says it shorter
    _section("config", diff.configs(a.config, b.config, ignore=(*SAME_RUN, *chosen)))
    _section("otherwise", diff.provenance(a, b))
    names = list(dict.fromkeys([*a.metrics, *b.metrics]))
    print(render.aligned(render.Grid(["metric", _name(a), _name(b), "diff"], [_metric(a, b, name) for name in names])))
    return 0


def show(argv: list[str]) -> int:
    parser = _parser("show", "Everything behind one entry.")
    parser.add_argument("entry", help="its file, its id, or a beginning or the end of the id")
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--config", action="store_true", help="the whole resolved config, as JSON")
    part.add_argument("--diff", action="store_true", help="the code's difference to its commit, for `git apply`")
    part.add_argument("--json", action="store_true", help="the entry as it is stored")
    asked = parser.parse_args(argv)
    path = files.find(asked.results, asked.entry)
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
    parser.add_argument("a", help="an entry: its file, its id, or a beginning or the end of the id")
    parser.add_argument("b")
    asked = parser.parse_args(argv)
    a, b = (files.read(files.find(asked.results, name)) for name in (asked.a, asked.b))
    found = diff.metrics(a, b)
    print("\n".join([f"  {one}" for one in found]) if found else "  no metric differs, bit by bit")
    reasons = diff.explain(a, b)
    for reason in reasons:
        _section(f"{reason.what}: {reason.weight}", reason.found)
    if not reasons:
        print("nothing that an entry records differs: the program is not deterministic on this machine")
    return 0


def _parser(name: str, text: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"lineage {name}", description=text)
    parser.add_argument("--results", type=Path, default=places.results(), help="the store (default: %(default)s)")
    return parser


def _section(title: str, found: list[diff.Difference]) -> None:
    if found:
        print(title, *(f"  {difference}" for difference in found), "", sep="\n")


def _name(entry: Entry) -> str:
    return f"{entry.row or entry.choices.get('model', 'run')} {entry.id[-6:]}"


def _groups(entry: Entry) -> dict[str, str]:
    """The choices without that of the row, which stands for the others."""
    return {group: option for group, option in entry.choices.items() if not group.startswith("experiment")}


def _metric(a: Entry, b: Entry, name: str) -> list[str]:
    values = [entry.metrics.get(name) for entry in (a, b)]
    shown = ["-" if value is None else f"{value:.2f}" for value in values]
    return [name, *shown, "-" if None in values else f"{values[1] - values[0]:+.2f}"]  # type: ignore[operator]


def _summary(entry: Entry) -> str:
    """Every field on a line of its own; the long ones are named with the flag that prints them."""
    short = replace(entry, config={}, diff=None)
    lines = [f"{name:<18}{_value(value)}" for name, value in vars(short).items() if value not in (None, "", [], {}, ())]
    lines.append(f"{'config':<18}lineage show {entry.id} --config")
    if entry.diff:
        lines.append(f"{'diff':<18}lineage show {entry.id} --diff")
    return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    if isinstance(value, dict):
        return "  ".join(
            f"{name}={item:.2f}" if isinstance(item, float) else f"{name}={item}" for name, item in value.items()
        )
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
