"""Names that configs use, over time: classes, their keywords, config groups and their options (`renames.yaml`).

Two directions. `upgrade` turns a config that was stored long ago into one that today's code understands. `canonical`
turns a config into the names its parts had first, so that a digest does not depend on what they are called now.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

TARGET = "_target_"
INTERPOLATION = re.compile(r"\$\{(\.*)([A-Za-z_][\w.\-]*)\}")  # ${a.b}, ${..b}; resolvers such as ${now:...} are left

Names = dict[str, str]


class Renames(NamedTuple):
    """Names today -> first names, and every former name -> today's."""

    modules: Names
    targets: Names
    keys: dict[str, Names]  # of a class, or of a config node as /NODE
    was_module: Names
    was_target: Names
    was_key: dict[str, Names]
    was_option: dict[str, Names]  # of a config group
    was_group: Names


@cache
def renames() -> Renames:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    table = yaml.load(Path(__file__).with_name("renames.yaml").read_text(encoding="utf-8"), loader)
    keys = {owner: _first(names) for owner, names in table["keys"].items()}
    return Renames(
        _first(table["modules"]),
        _first(table["targets"]),
        keys,
        _was(table["modules"]),
        _was(table["targets"]),
        {owner: _was(names) for owner, names in table["keys"].items()},
        {group: _was(names) for group, names in table["options"].items()},
        _was(table["groups"]),
    )


def upgrade(config: Any) -> Any:
    """A copy of a stored config in the names of today."""
    return _Walk(config, target_today, lambda owner: renames().was_key.get(owner, {})).copy()


def canonical(config: Any, without: Iterable[str] = ()) -> Any:
    """A copy of a config in the names that its classes, keys and interpolations had first; keys `without` are left out.

    `without` names dotted keys as they are called today.
    """
    return _Walk(config, _first_target, lambda owner: renames().keys.get(owner, {}), frozenset(without)).copy()


def key_today(config: Any, key: str) -> str | None:
    """What a dotted key of another time is called in `config`, or None if it had no other name."""
    new: list[str] = []
    node = config
    for name in key.split("."):
        known = renames().was_key.get(_owner(node, ".".join(new)), {})
        name = known.get(name, name)
        new.append(name)
        node = node.get(name) if isinstance(node, dict) else None
    today = ".".join(new)
    return today if today != key else None


class _Walk:
    """One pass over a config: renames targets, keys by the class of their node, and the paths of interpolations."""

    def __init__(
        self,
        root: Any,
        target: Callable[[str], str],
        keys: Callable[[str], Names],
        without: frozenset[str] = frozenset(),
    ):
        self.root, self.target, self.keys, self.without = root, target, keys, without

    def copy(self) -> Any:
        return self._node(self.root, ())

    def _node(self, node: Any, path: tuple[str, ...]) -> Any:
        if isinstance(node, dict):
            names = self._names(node, path)
            kept = {name: value for name, value in node.items() if ".".join((*path, str(name))) not in self.without}
            return {names.get(name, name): self._value(name, value, path) for name, value in kept.items()}
        if isinstance(node, list):
            return [self._node(item, (*path, str(i))) for i, item in enumerate(node)]
        if isinstance(node, str) and "${" in node:
            return INTERPOLATION.sub(lambda match: self._interpolation(match, path), node)
        return node

    def _value(self, name: Any, value: Any, path: tuple[str, ...]) -> Any:
        if name == TARGET and isinstance(value, str):
            return self.target(value)
        return self._node(value, (*path, str(name)))

    def _names(self, node: Any, path: tuple[str, ...]) -> Names:
        return self.keys(_owner(node, ".".join(path)))

    def _interpolation(self, match: re.Match[str], path: tuple[str, ...]) -> str:
        dots, key = match[1], match[2]
        start = path[: len(path) - len(dots)] if dots else ()
        return f"${{{dots}{'.'.join(self._renamed(start, key.split('.')))}}}"

    def _renamed(self, start: tuple[str, ...], names: list[str]) -> Iterator[str]:
        path, node = start, self.root
        for name in start:
            node = _child(node, name)
        for name in names:
            yield self._names(node, path).get(name, name)
            node, path = _child(node, name), (*path, name)


def _child(node: Any, name: str) -> Any:
    if isinstance(node, dict):
        return node.get(name)
    return node[int(name)] if isinstance(node, list) and name.isdigit() and int(name) < len(node) else None


def _owner(node: Any, path: str) -> str:
    """Whose keys these are: of the node's class as it is called today, else of the place in the config."""
    target = node.get(TARGET) if isinstance(node, dict) else None
    return target_today(target) if isinstance(target, str) else f"/{path}"


def _first_target(name: str) -> str:
    known = renames()
    for head, rest in _parts(name):
        for table in (known.targets, known.modules):
            if head in table:
                return table[head] + rest
    return name


def target_today(name: str) -> str:
    """The full name today of a class or function that may have had another."""
    known = renames()
    for head, rest in _parts(name):
        if head in known.targets or head in known.modules:
            return name
        for table in (known.was_target, known.was_module):
            if head in table:
                return table[head] + rest
    return name


@cache
def _parts(name: str) -> list[tuple[str, str]]:
    """`a.b.C.d` -> (`a.b.C.d`, ``), (`a.b.C`, `.d`), ...: the longest first."""
    names = name.split(".")
    return [(".".join(names[:n]), "".join(f".{rest}" for rest in names[n:])) for n in range(len(names), 0, -1)]


def _first(table: dict[str, str | list[str]]) -> Names:
    return {today: former if isinstance(former, str) else former[0] for today, former in table.items()}


def _was(table: dict[str, str | list[str]]) -> Names:
    return {
        name: today for today, former in table.items() for name in ([former] if isinstance(former, str) else former)
    }
