"""A mapping of a YAML file that knows where it stands, for the sake of the messages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lineage.tables.suggest import did_you_mean
from lineage.tables.table import TableError

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times faster where libyaml is built in


def read_node(path: Path) -> Node:
    """Return the file's mapping; raise TableError if it is not YAML."""
    try:
        record = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except yaml.YAMLError as error:
        raise TableError(f"{path}: not YAML: {error}") from error
    return Node(path, "", {"file": record}).map("file", at="")


@dataclass(frozen=True)
class Node:
    path: Path
    where: str  # the dotted key of this node
    record: dict[str, Any]

    def at(self, key: object) -> str:
        return f"{self.where}.{key}" if self.where else str(key)

    def error(self, key: object, what: str) -> TableError:
        return TableError(f"{self.path}: {self.at(key)}: {what}")

    def map(self, key: str, at: str | None = None) -> Node:
        node = self.record.get(key)
        if node is not None and not isinstance(node, dict):
            raise self.error(key, f"expected keys and values, found {node!r}")
        named = {str(name): value for name, value in (node or {}).items()}
        return Node(self.path, self.at(key) if at is None else at, named)

    def items(self, key: str) -> list[Node]:
        """A list of mappings."""
        listed = self.record.get(key) or []
        if not isinstance(listed, list):
            raise self.error(key, "expected a list")
        at = [f"{self.at(key)}[{i}]" for i in range(len(listed))]
        held = Node(self.path, "", dict(zip(at, listed, strict=True)))
        return [held.map(name) for name in at]

    def texts(self, key: str, names: Iterable[str] | None = None) -> list[str]:
        """A list of words, each one of `names`."""
        listed = self.record.get(key)
        if not isinstance(listed, list) or not all(isinstance(item, str | int | float) for item in listed):
            raise self.error(key, f"expected a list of words, found {listed!r}")
        words, known = [str(item) for item in listed], None if names is None else list(names)
        for word in words:
            if known is not None and word not in known:
                raise self.error(key, f"there is no {word!r}. {did_you_mean(word, known)}")
        return words

    def words(self, key: str) -> dict[str, str]:
        """A mapping of names to sentences or options."""
        return {name: str(value) for name, value in self.map(key).record.items()}

    def text(self, key: str, otherwise: str = "") -> str:
        value = self.record.get(key, otherwise)
        return " ".join(str(otherwise if value is None else value).split())

    def maybe(self, key: str) -> str | None:
        return self.text(key) or None

    def number(self, key: str, otherwise: float | None = None) -> float:
        value = self.record.get(key, otherwise)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(key, f"{value!r} is not a number")
        return float(value)

    def check(self, allowed: Iterable[str], required: Iterable[str] = ()) -> Node:
        known = list(allowed)
        for key in self.record:
            if key not in known:
                raise self.error(key, f"unknown key. {did_you_mean(key, known)}")
        for key in required:
            if self.record.get(key) in (None, "", {}):
                raise self.error(key, "missing")
        return self

    def one_of(self, key: str, names: Iterable[str]) -> str:
        value, known = self.text(key), list(names)
        if value not in known:
            raise self.error(key, f"unknown: {value!r}. {did_you_mean(value, known)}")
        return value
