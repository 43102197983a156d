"""`lineage config`: the reference of config groups, options and keys."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lineage.config import reference
from lineage.results import paths
from lineage.tables.suggest import did_you_mean

PAGE = Path("docs") / "config.md"


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="lineage config", description="What every key of a config is for.")
    parser.add_argument("name", nargs="?", help="a group, or a part of a key, e.g. schedule or nms")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE}")
    args = parser.parse_args(argv)
    conf, schema = paths.shipping_root() / "conf", Path(reference.__file__).with_name("schema.py")
    if args.write:
        page = paths.project() / PAGE
        page.write_text(reference.markdown(conf, schema), encoding="utf-8")
        print(page)
        return 0
    lines = [line for line in _lines(conf, schema) if args.name is None or args.name in line.partition(" ")[0]]
    if not lines:
        groups = sorted(reference.groups(conf))
        print(f"no key has {args.name!r} in its name. {did_you_mean(args.name, groups)}", file=sys.stderr)
        return 1
    print("\n".join(lines))
    return 0


def _lines(conf: Path, schema: Path) -> list[str]:
    """Return a line per key and option that sets it: name, value, the choice of the option, comment."""
    keys = [(key, "") for key in reference.schema_keys(schema)]
    for group, options in reference.groups(conf).items():
        for option in options:
            choice = f"({group}={option.name})"
            keys += [(key, choice) for key in option.keys]
    width = max(len(key.name) for key, _ in keys)
    return [
        f"{key.name:<{width}}  {key.value}  {choice}  {'# ' + key.comment if key.comment else ''}".rstrip()
        for key, choice in keys
    ]
