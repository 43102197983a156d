"""Former names of classes, keywords, their values, config groups and options (`renames.yaml`), and two translations.

`upgrade` turns a config that was stored earlier into one that the code of today reads. `canonical` turns a config into
the first names of its parts, so that a digest does not depend on what they are called today. docs/identity.md explains
how to rename something.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from lineage.results.renames_table import Names, Values, renames

TARGET = "_target_"
SOURCES = Path(__file__).resolve().parents[2]  # the folder that holds lineage/
KEY = r"(\.*)([A-Za-z_][\w.\-\[\]]*)"  # dots of a relative path, and the path
REFERENCE = re.compile(rf"(\$\{{(?:oc\.select:\s*)?){KEY}(?=\s*[,}}])")  # ${a.b}, ${..b}, ${oc.select:a.b,1}
WHOLE = re.compile(rf"\s*\$\{{{KEY}\}}\s*")  # a value that is a reference and nothing else
DEEPEST = 20  # references that lead to references


class Place(NamedTuple):
    """A node of a config and its dotted path in the names of today."""

    node: Any
    path: str


Places = tuple[Place, ...]  # from the root to a node


@cache
def former_words() -> frozenset[str]:
    """Return every former name of a key, group or option."""
    table = renames()
    tables = [*table.keys.values(), *table.options.values(), table.groups]
    return frozenset(name.rpartition("/")[2] for names in tables for name in names)


def upgrade(config: Any) -> Any:
    """Copy a stored config into the names of today. A config of today stays as it is."""
    return _Translation(config, target_today, renames().keys, renames().values, to_today=True).copy()


def canonical(config: Any, without: Iterable[str] = ()) -> Any:
    """Copy a config of today into first names, without the dotted keys `without` (names of today)."""
    return _Translation(
        config, first_target, renames().first_keys, renames().first_values, without=frozenset(without)
    ).copy()


def former_names(config: Any) -> Names:
    """Return the former names in a config: dotted key -> key of today, KEY=VALUE -> value (or class) of today."""
    translation = _Translation(config, target_today, renames().keys, renames().values, to_today=True)
    translation.copy()
    return translation.renamed


def key_today(key: str, config: Any) -> str:
    """Return the name of today of a dotted key, whose owners are read from `config` (names of today)."""
    return _Translation(config, target_today, renames().keys, {}, to_today=True).key((Place(config, ""),), key)


def choices_today(choices: Mapping[str, str]) -> Names:
    """Return the chosen options of config groups in the names of today."""
    return {group_today(group): option_today(group, option) for group, option in choices.items()}


def group_today(group: str) -> str:
    return renames().groups.get(group, group)


def option_today(group: str, option: str) -> str:
    """Return the name of today of an option; `group` may be a former name."""
    return renames().options.get(group_today(group), {}).get(option, option)


def target_today(name: str) -> str:
    """Return the full name of today of a class or function."""
    table = renames()
    for head, rest in _splits(name):
        if head in table.first_targets or head in table.first_modules:
            return name
        if head in table.targets:
            return table.targets[head] + rest
        if head in table.modules and not _is_module(head + "." + rest.split(".")[1] if rest else head):
            return target_today(table.modules[head] + rest)  # its class may have had another name then
    return name


def first_target(name: str) -> str:
    """Return the first full name of a class or function of today."""
    table = renames()
    for head, rest in _splits(name):
        for names in (table.first_targets, table.first_modules):
            if head in names:
                return names[head] + rest
    return name


class _Translation:
    """One pass over a config: targets, keys and values by the class of their node, and the paths in interpolations."""

    def __init__(
        self,
        root: Any,
        target: Callable[[str], str],
        keys: Mapping[str, Names],
        values: Values,
        *,
        to_today: bool = False,
        without: frozenset[str] = frozenset(),
    ):
        self.root, self.target, self.keys, self.values = root, target, keys, values
        self.to_today, self.without = to_today, without
        self.renamed: Names = {}  # filled by copy

    def copy(self) -> Any:
        return self._copy((Place(self.root, ""),))

    def key(self, start: Places, key: str) -> str:
        """Translate a path below `start`, and keep its dots and brackets."""
        places = start

        def translate(match: re.Match[str]) -> str:
            nonlocal places
            name = self._names(places[-1]).get(match[0], match[0])
            places = self._below(places, match[0], 0)
            return name

        return re.sub(r"[^.\[\]]+", translate, key)

    def _copy(self, places: Places) -> Any:
        node, path = places[-1]
        if isinstance(node, dict):
            names = self._names(places[-1])
            items = {name: self._child(places[-1], name) for name in node if _join(path, name) not in self.without}
            self.renamed |= {_join(path, name): _join(path, names[name]) for name in items if name in names}
            return {names.get(name, name): self._value(name, (*places, child)) for name, child in items.items()}
        if isinstance(node, list):
            return [self._copy((*places, Place(item, _join(path, i)))) for i, item in enumerate(node)]
        if isinstance(node, str) and "${" in node:
            return REFERENCE.sub(lambda match: self._reference(match, places), node)
        return node

    def _value(self, name: Any, places: Places) -> Any:
        value, path = places[-1]
        if name == TARGET and isinstance(value, str):
            translated = self.target(value)
        else:
            today = self._names(places[-2]).get(name, name) if self.to_today else name
            values = self.values.get(_owner(places[-2]), {}).get(today, {})
            if not isinstance(value, str | bool) or value not in values:
                return self._copy(places)
            translated = values[value]
        if translated != value:
            self.renamed[f"{path}={value}"] = str(translated)
        return translated

    def _names(self, place: Place) -> Names:
        return self.keys.get(_owner(place), {})

    def _reference(self, match: re.Match[str], places: Places) -> str:
        return f"{match[1]}{match[2]}{self.key(self._start(places, match[2]), match[3])}"

    def _start(self, places: Places, dots: str) -> Places:
        """Return where a reference begins: at the root, or one node above its own value for each dot."""
        return places[: max(1, len(places) - len(dots))] if dots else places[:1]

    def _child(self, parent: Place, name: Any) -> Place:
        node: Any = None
        if isinstance(parent.node, dict):
            node = parent.node.get(name)
        elif isinstance(parent.node, list) and str(name).isdigit() and int(name) < len(parent.node):
            node = parent.node[int(name)]
        today = self._names(parent).get(name, name) if self.to_today else name
        return Place(node, _join(parent.path, today))

    def _below(self, places: Places, name: str, depth: int) -> Places:
        """Return the places down to a child; if it is a reference, down to what it refers to."""
        child = self._child(places[-1], name)
        match = WHOLE.fullmatch(child.node) if isinstance(child.node, str) else None
        if match is None or depth > DEEPEST:
            return (*places, child)
        end = self._start((*places, child), match[1])
        for part in re.findall(r"[^.\[\]]+", match[2]):
            end = self._below(end, part, depth + 1)
        return end


def _owner(place: Place) -> str:
    """Return what the keys of a node belong to: its class (name of today), else its path in the config."""
    target = place.node.get(TARGET) if isinstance(place.node, dict) else None
    return target_today(target) if isinstance(target, str) else f"/{place.path}"


def _join(path: str, name: Any) -> str:
    return f"{path}.{name}" if path else str(name)


@cache
def _splits(name: str) -> list[tuple[str, str]]:
    """`a.b.C.d` -> (`a.b.C.d`, ``), (`a.b.C`, `.d`), ...: the longest first."""
    names = name.split(".")
    return [(".".join(names[:n]), "".join(f".{rest}" for rest in names[n:])) for n in range(len(names), 0, -1)]


@cache
def _is_module(name: str) -> bool:
    """Return whether a module of this name exists today: a former module may have become a package of the same name."""
    path = SOURCES.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()
