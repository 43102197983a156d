"""A mapping of a YAML file with its place in that file, so that errors name file and key."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lineage.results.safe_yaml import UniqueKeyLoader, check_structure, describe_yaml_error
from lineage.tables.suggest import did_you_mean
from lineage.tables.table import TableError


def read_node(path: Path) -> Node:
    """Return the file's mapping; raise TableError if it is not YAML, or cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise TableError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TableError(f"{path}: not YAML: {error}") from error
    return parse_node(path, text)


def parse_node(path: Path, text: str) -> Node:
    """Return the mapping that a file of this text holds; raise TableError if it is not YAML."""
    try:
        check_structure(text)
        record = yaml.load(text, Loader=UniqueKeyLoader)
    except yaml.YAMLError as error:
        raise TableError(f"{path}: not YAML: {describe_yaml_error(error)}") from error
    return Node(path, "", {"file": record}).mapping("file", key_path="")


@dataclass(frozen=True, slots=True)
class Node:
    """Every reader below raises TableError if the value has another type than the one it returns."""

    path: Path
    where: str  # the dotted key of this node
    record: dict[str, Any]

    def key_path(self, key: object) -> str:
        return f"{self.where}.{key}" if self.where else str(key)

    def error(self, key: object, what: str) -> TableError:
        return TableError(f"{self.path}: {self.key_path(key)}: {what}")

    def mapping(self, key: str, key_path: str | None = None) -> Node:
        """Return the mapping below a key; an empty one if the key is absent."""
        value = self.record.get(key)
        if value is not None and not isinstance(value, dict):
            raise self.error(key, f"expected keys and values, found {value!r}")
        record = {str(name): item for name, item in (value or {}).items()}
        return Node(self.path, self.key_path(key) if key_path is None else key_path, record)

    def mappings(self, key: str) -> list[Node]:
        """Return a list of mappings; an empty one if the key is absent."""
        values = self.record.get(key) or []
        if not isinstance(values, list):
            raise self.error(key, "expected a list")
        key_paths = [f"{self.key_path(key)}[{i}]" for i in range(len(values))]
        items = Node(self.path, "", dict(zip(key_paths, values, strict=True)))
        return [items.mapping(name) for name in key_paths]

    def text_list(self, key: str, allowed: Iterable[str] | None = None) -> list[str]:
        """Return a list of words, each of them in `allowed`."""
        values = self.record.get(key)
        if not isinstance(values, list) or not all(isinstance(value, str | int | float) for value in values):
            raise self.error(key, f"expected a list of words, found {values!r}")
        words, names = [str(value) for value in values], None if allowed is None else list(allowed)
        for word in words:
            if names is not None and word not in names:
                raise self.error(key, f"there is no {word!r}. {did_you_mean(word, names)}")
        return words

    def text_map(self, key: str) -> dict[str, str]:
        """Return a mapping of names to sentences or options."""
        return {name: str(value) for name, value in self.mapping(key).record.items()}

    def text(self, key: str, default: str = "") -> str:
        """Return a text on one line."""
        value = self.record.get(key, default)
        if isinstance(value, dict | list):
            raise self.error(key, f"expected a text, found {value!r:.80}")
        return " ".join(str(default if value is None else value).split())

    def optional_text(self, key: str) -> str | None:
        return self.text(key) or None

    def number(self, key: str, default: float | None = None) -> float:
        value = self.record.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(key, f"{value!r} is not a number")
        if not math.isfinite(value):
            raise self.error(key, f"{value!r} is not a finite number")
        return float(value)

    def count(self, key: str, default: int | None = None) -> int:
        value = self.number(key, default)
        if value != int(value):
            raise self.error(key, f"{value!r} is not a whole number")
        return int(value)

    def check_keys(self, allowed: Iterable[str], required: Iterable[str] = ()) -> Node:
        names = list(allowed)
        for key in self.record:
            if key not in names:
                raise self.error(key, f"unknown key. {did_you_mean(key, names)}")
        for key in required:
            if self.record.get(key) in (None, "", {}):
                raise self.error(key, "missing")
        return self

    def one_of(self, key: str, allowed: Iterable[str]) -> str:
        value, names = self.text(key), list(allowed)
        if value not in names:
            raise self.error(key, f"unknown: {value!r}. {did_you_mean(value, names)}")
        return value
