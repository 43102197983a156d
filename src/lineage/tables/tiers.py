"""The same table at three costs: `paper`, and the tiers of experiments/tiers.yaml, which translate a row's choices."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import yaml

from lineage.tables.table import TableError

PAPER = "paper"
OTHERWISE = "*"  # stands for every option that is not named

Tiers = dict[str, dict[str, dict[str, str]]]  # tier -> config group -> option of the paper -> option of the tier


def load(folder: Path) -> Tiers:
    path = folder / "tiers.yaml"
    return _load(path, path.stat().st_mtime_ns) if path.is_file() else {}


def translate(choose: dict[str, str], tier: dict[str, dict[str, str]]) -> dict[str, str]:
    """A row's choices at a tier; an option without a translation stays what the paper has."""
    return {group: _option(tier.get(group, {}), option) for group, option in choose.items()}


def _option(options: dict[str, str], option: str) -> str:
    return options.get(option, options.get(OTHERWISE, option))


@lru_cache(maxsize=8)
def _load(path: Path, changed: int) -> Tiers:
    try:
        tiers = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise TableError(f"{path}: not YAML: {error}") from error
    for tier, groups in tiers.items():
        for group, options in (groups or {}).items():
            if not isinstance(options, dict):
                raise TableError(f"{path}: {tier}.{group}: expected {{paper option: {tier} option}}, found {options!r}")
    return tiers
