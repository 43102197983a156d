"""Factors of an ablation: `roi=pool,align` is the config group `roi` with two options."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from lineage.results.overrides import Override
from lineage.tables.draft import slug
from lineage.tables.suggest import did_you_mean
from lineage.tables.table import TableError

COMMA = re.compile(r",(?![^\[{(]*[\]})])")  # not within brackets


@dataclass(frozen=True, slots=True)
class Setting:
    """One option of a config group, or one value of a key."""

    name: str
    value: Any
    is_group: bool

    def __str__(self) -> str:
        return f"{self.name}={format_value(self.value)}"


@dataclass(frozen=True, slots=True)
class Variation:
    """The levels of one factor."""

    name: str
    levels: tuple[Setting, ...]


@dataclass(frozen=True, slots=True)
class OwnRow:
    """One row: a level of each factor."""

    name: str
    label: str
    settings: tuple[Setting, ...]


def read_variation(text: str, configs: Sequence[Path]) -> Variation:
    """Read `roi=pool,align` or `model.box.nms=0.3,0.5`. `configs` are the folders of config groups."""
    override = Override.parse(text)
    levels = COMMA.split(override.value or "")
    if len(levels) < 2:
        raise TableError(f"--vary {text}: expected two options or values at least: {override.name}=A,B")
    if override.name == "seed":
        raise TableError(f"--vary {text}: seeds are repeats of each row, not rows: --seeds {len(levels)}")
    settings = [read_setting(f"{override.name}={level}", configs) for level in levels]
    if len({format_value(setting.value) for setting in settings}) < len(settings):  # 0.02 and 0.020 too
        raise TableError(f"--vary {text}: a level stands there twice")
    return Variation(override.name, tuple(settings))


def read_setting(text: str, configs: Sequence[Path]) -> Setting:
    """Read `roi=pool`, an option of a config group, or `model.box.nms=0.5`, the value of a key."""
    override = Override.parse(text)
    if override.value is None or not override.value.strip():
        raise TableError(f"{text}: expected NAME=VALUE")
    options = list_options(override.name, configs)
    if options is None:
        if "." not in override.name and override.package is None:
            groups = sorted({path.name for folder in configs for path in folder.iterdir() if path.is_dir()})
            close = did_you_mean(override.name, groups)
            if close.startswith("Did you mean"):
                raise TableError(f"{text}: there is no config group {override.name!r}. {close}")
        return Setting(override.name, yaml.safe_load(override.value), is_group=False)
    if override.value not in options:
        raise TableError(
            f"{text}: conf/{override.name} has no {override.value!r}. {did_you_mean(override.value, options)}"
        )
    name = override.name if override.package is None else f"{override.name}@{override.package}"
    return Setting(name, override.value, is_group=True)


def list_options(group: str, configs: Sequence[Path]) -> list[str] | None:
    """Return the options of a config group, or None if there is no such group."""
    folders = [folder / group for folder in configs if (folder / group).is_dir()]
    return sorted({path.stem for folder in folders for path in folder.glob("*.yaml")}) if folders else None


def combine(variations: Sequence[Variation]) -> list[OwnRow]:
    """Return a row per combination of levels. Raises TableError for a factor that is varied twice."""
    names = [variation.name for variation in variations]
    if twice := [name for name in names if names.count(name) > 1]:
        raise TableError(f"--vary {twice[0]}: it stands there twice; name all its levels in one")
    return name_rows(product(*(variation.levels for variation in variations)))


def name_rows(combinations: Iterable[Sequence[Setting]]) -> list[OwnRow]:
    """Return rows whose names are their levels: `pool_l1`."""
    rows: dict[str, OwnRow] = {}
    for settings in combinations:
        name = "_".join(slug(format_value(setting.value)) or "none" for setting in settings)
        if name in rows or not name:
            name = "_".join(slug(str(setting)) for setting in settings)
        while name in rows:
            name += "_again"
        rows[name] = OwnRow(name, ", ".join(map(str, settings)), tuple(settings))
    return list(rows.values())


def format_value(value: Any) -> str:
    """Return a value as YAML has it on one line."""
    if isinstance(value, str):
        return value
    return yaml.safe_dump(value, default_flow_style=True, width=10**6).strip().removesuffix("...").strip()
