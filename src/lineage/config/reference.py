"""The reference of configs: every group, option and key with its value and the comment beside it, read from conf/.

`lineage config` prints it; docs/config.md is the page. Comments in YAML and in the schema are the only source.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

COMMENT = re.compile(r"\s#\s?(?P<text>.*)$")
GLOBAL = "# @package _global_"  # a file with this line sets keys of the whole config, not of its group alone
HIDDEN = ("hydra", "replace", "scale")  # parts of other configs, not choices
SHOWN = {  # values of fields in config/schema.py, as YAML has them
    "MISSING": "by its group",
    "None": "null",
    "True": "true",
    "False": "false",
    "field(default_factory=dict)": "{}",
    "field(default_factory=list)": "[]",
}
PREFACE = """\
# Config reference

Written by `lineage config --write` from the comments in `conf/` and `src/lineage/config/schema.py`; do not edit it.
`python train.py --cfg job` prints the whole config of a run. A model, a backbone or another part stands under the key
of its group: `model.proposals.depth=2` changes one number, `model=retinanet` the whole part. An option that extends
another one lists the keys that it changes or adds.
"""


@dataclass(frozen=True, slots=True)
class Key:
    name: str  # dotted, in the config of a run
    value: str  # as the file has it, a class for a node
    comment: str


@dataclass(frozen=True, slots=True)
class Option:
    name: str
    comment: str  # first lines of the file
    keys: list[Key]  # with values that its parents do not have
    parents: list[str]  # options of the group that it extends


def groups(conf: Path) -> dict[str, list[Option]]:
    """Return the options of every config group, parents before the options that extend them."""
    folders = sorted(path for path in conf.iterdir() if path.is_dir() and path.name not in HIDDEN)
    return {folder.name: _options(folder) for folder in folders}


def schema_keys(source: Path) -> list[Key]:
    """Return the keys that config/schema.py types, with the comments of their lines."""
    text = source.read_text(encoding="utf-8")
    lines = text.splitlines()
    classes = {node.name: node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)}
    return list(_fields(classes["Run"], classes, lines, ""))


def markdown(conf: Path, schema: Path) -> str:
    """Return the page docs/config.md."""
    parts = [PREFACE, "## Keys of a run\n", _table(schema_keys(schema))]
    for group, options in groups(conf).items():
        parts.append(f"## {group}\n")
        for option in options:
            extends = f" (extends {', '.join(f'`{name}`' for name in option.parents)})" if option.parents else ""
            parts.append(f"**`{group}={option.name}`** {option.comment}{extends}\n".replace("  ", " "))
            if option.keys:
                parts.append(_table(option.keys))
    return "\n".join(parts).rstrip() + "\n"


def _options(folder: Path) -> list[Option]:
    """Options in the order in which they extend each other, each with the keys whose values its parents do not have."""
    files = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    values: dict[str, dict[str, str]] = {}
    options = []
    for name in _parents_first(files):
        text = files[name].read_text(encoding="utf-8")
        parents = [parent for parent in _defaults(files[name]) if parent in values]
        inherited = {key: value for parent in parents for key, value in values[parent].items()}
        prefix = "" if GLOBAL in text else f"{folder.name}."
        keys = [key for key in _keys(text, prefix) if inherited.get(key.name) != key.value]
        values[name] = inherited | {key.name: key.value for key in keys}
        options.append(Option(name, _head(text), keys, parents))
    return options


def _parents_first(files: dict[str, Path]) -> list[str]:
    order: list[str] = []

    def visit(name: str) -> None:
        if name in order or name not in files:
            return
        for parent in _defaults(files[name]):
            visit(parent)
        order.append(name)

    for name in files:
        visit(name)
    return order


def _defaults(path: Path) -> list[str]:
    """Names in the defaults list of a file that are options of the same group."""
    record = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    return [entry for entry in record.get("defaults", []) if isinstance(entry, str) and entry != "_self_"]


def _keys(text: str, prefix: str) -> list[Key]:
    node, lines = yaml.compose(text), text.splitlines()
    return list(_walk(node, lines, prefix)) if isinstance(node, yaml.MappingNode) else []


def _walk(node: yaml.MappingNode, lines: list[str], prefix: str) -> Iterator[Key]:
    for key, value in node.value:
        name = f"{prefix}{key.value}"
        if key.value in ("defaults", "_target_", "_partial_", "_convert_", "_recursive_"):
            continue
        comment = _comment(lines[key.start_mark.line])
        if isinstance(value, yaml.MappingNode):
            if target := _target(value):
                yield Key(name, target, comment)
            yield from _walk(value, lines, f"{name}.")
        else:
            yield Key(name, _text(value, lines), comment)


def _target(node: yaml.MappingNode) -> str:
    return next((value.value.rpartition(".")[2] for key, value in node.value if key.value == "_target_"), "")


def _text(node: yaml.Node, lines: list[str]) -> str:
    start, end = node.start_mark, node.end_mark
    if start.line != end.line:
        return "..."
    return lines[start.line][start.column : end.column].strip()


def _comment(line: str) -> str:
    match = COMMENT.search(line)
    return match["text"].strip() if match else ""


def _head(text: str) -> str:
    """Comment lines at the top of a file, Hydra's package line left out."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @package"):
            lines.append(line.lstrip("# ").strip())
    return " ".join(lines)


def _fields(node: ast.ClassDef, classes: dict[str, ast.ClassDef], lines: list[str], prefix: str) -> Iterator[Key]:
    for field in node.body:
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        kind = ast.unparse(field.annotation)
        if kind in classes:
            yield from _fields(classes[kind], classes, lines, f"{prefix}{field.target.id}.")
            continue
        value = ast.unparse(field.value) if field.value is not None else ""
        shown = SHOWN.get(value, value)
        yield Key(f"{prefix}{field.target.id}", shown, _comment(lines[field.lineno - 1]))


def _table(keys: list[Key]) -> str:
    rows = [f"| `{key.name}` | {_cell(key.value)} | {_escape(key.comment)} |" for key in keys]
    return "\n".join(["| key | value | |", "|---|---|---|", *rows]) + "\n"


def _cell(value: str) -> str:
    return f"`{_escape(value)}`" if value else ""


def _escape(text: str) -> str:
    return text.replace("|", "\\|")
