"""The table of former names, `renames.yaml`, read once and inverted for both directions. renames.py applies it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

Names = dict[str, str]
Values = dict[str, dict[str, dict[Any, Any]]]  # by class and by keyword (name of today)
Formers = Mapping[str, "str | list[str]"]  # name of today -> its first name, or all former names in order


@dataclass(frozen=True, slots=True)
class Renames:
    """Both directions of the table: names of today -> first names, and every former name -> the name of today."""

    first_modules: Names
    first_targets: Names
    first_keys: dict[str, Names]  # by the class that takes them; /NODE for a config node without a class
    modules: Names
    targets: Names
    keys: dict[str, Names]
    options: dict[str, Names]  # by config group
    groups: Names
    first_values: Values
    values: Values


@cache
def renames() -> Renames:
    """Read the table."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return read(yaml.load(Path(__file__).with_name("renames.yaml").read_text(encoding="utf-8"), loader))


def read(table: Mapping[str, Mapping[str, Any]]) -> Renames:
    """Invert the table. A config group is a key of the config too, at the top level."""
    groups = {today: former for today, former in table["groups"].items() if "/" not in today}
    keys = {**table["keys"], "/": {**groups, **table["keys"].get("/", {})}}
    modules = _today(table["modules"])
    return Renames(
        _first(table["modules"]),
        _first(table["targets"]),
        {owner: _first(names) for owner, names in keys.items()},
        modules,
        _class_moves(table["targets"], modules) | _today(table["targets"]),
        {owner: _today(names) for owner, names in keys.items()},
        {group: _today(names) for group, names in table["options"].items()},
        _today(table["groups"]),
        dict(table.get("values", {})),
        {
            owner: {key: {first: today for today, first in values.items()} for key, values in keywords.items()}
            for owner, keywords in table.get("values", {}).items()
        },
    )


@cache
def fingerprint() -> str:
    """Return a digest of the table: what is remembered in names of today is of this table."""
    return hashlib.sha256(Path(__file__).with_name("renames.yaml").read_bytes()).hexdigest()[:16]


def _formers(names: str | list[str]) -> list[str]:
    return [names] if isinstance(names, str) else names


def _first(table: Formers) -> Names:
    return {today: _formers(names)[0] for today, names in table.items()}


def _today(table: Formers) -> Names:
    return {former: today for today, names in table.items() for former in _formers(names)}


def _class_moves(targets: Formers, modules: Names) -> Names:
    """Return former names of classes that were renamed after their module moved; the table need not list them."""
    moved = {}
    for today, names in targets.items():
        for former in _formers(names):
            module, _, name = former.rpartition(".")
            for place in (modules.get(module), today.rpartition(".")[0]):
                if place is not None and f"{place}.{name}" not in targets:
                    moved[f"{place}.{name}"] = today
    return moved
