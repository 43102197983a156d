"""The same table at three costs: `paper`, and the tiers of experiments/tiers.yaml, which translate a row's choices.

A tier also says what becomes of the keys that rows set: anchors of 512 pixels are none on images of 128.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from lineage.results import paths
from lineage.tables.suggest import did_you_mean
from lineage.tables.table import TableError

PAPER = "paper"
OTHERWISE = "*"  # stands for every option that is not named

SET = "set"  # beside the groups: rules for keys
DROP, SCALE, ONLY, VALUE = "drop", "scale", "only", "value"

Tier = dict[str, dict[str, Any]]  # config group -> option of the paper -> option of the tier; `set` -> pattern -> rule
Tiers = dict[str, Tier]


def load(folder: Path) -> Tiers:
    path = (paths.lower_experiments(folder) or folder) / "tiers.yaml"
    return _load(path, path.stat().st_mtime_ns) if path.is_file() else {}


def check(folder: Path, tier: str) -> None:
    """Is there such a tier?"""
    known = [PAPER, *load(folder)]
    if tier not in known:
        raise TableError(f"there is no tier {tier!r}. {did_you_mean(tier, known)}")


def translate(choose: Mapping[str, str], tier: Tier) -> dict[str, str]:
    """A row's choices at a tier; an option without a translation stays what the paper has."""
    return {group: _option(tier.get(group, {}), option) for group, option in choose.items()}


def assign(keys: Mapping[str, Any], tier: Tier) -> dict[str, Any]:
    """The keys that a row sets, at a tier; one without a rule keeps the paper's value, of several rules the first."""
    ruled = {key: (value, _rule(tier.get(SET, {}), key)) for key, value in keys.items()}
    return {key: _apply(value, rule) for key, (value, rule) in ruled.items() if not _dropped(value, rule)}


def _rule(rules: Mapping[str, Any], key: str) -> Any:
    return next((rule for pattern, rule in rules.items() if fnmatchcase(key, pattern)), None)


def _dropped(value: Any, rule: Any) -> bool:
    return rule == DROP or (isinstance(rule, dict) and ONLY in rule and value not in rule[ONLY])


def _apply(value: Any, rule: Any) -> Any:
    if isinstance(rule, dict) and VALUE in rule:
        return rule[VALUE]
    return _scaled(value, rule[SCALE]) if isinstance(rule, dict) and SCALE in rule else value


def _scaled(value: Any, factor: float) -> Any:
    """Counts and sizes in pixels stay whole numbers."""
    if isinstance(value, list):
        return [_scaled(each, factor) for each in value]
    return max(1, round(value * factor)) if isinstance(value, int) else value * factor


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
        for key, rule in (groups or {}).get(SET, {}).items():
            _check_rule(f"{path}: {tier}.{SET}.{key}", rule)
    return tiers


def _check_rule(where: str, rule: Any) -> None:
    known: dict[str, Any] = {SCALE: int | float, ONLY: list, VALUE: object}
    if rule == DROP:
        return
    if isinstance(rule, dict) and len(rule) == 1:
        ((name, value),) = rule.items()
        if name in known and isinstance(value, known[name]):
            return
    raise TableError(
        f"{where}: expected {DROP}, {{{SCALE}: number}}, {{{ONLY}: [values that stay]}} or "
        f"{{{VALUE}: what it becomes}}, found {rule!r}"
    )
