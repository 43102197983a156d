"""The same table at three costs: `paper`, and the tiers of experiments/tiers.yaml, which translate a row's choices.

A tier also translates the keys that rows set: anchors of 512 pixels make no sense on images of 128.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from lineage.results import paths
from lineage.results.safe_yaml import UniqueKeyLoader, describe_yaml_error
from lineage.tables.suggest import did_you_mean
from lineage.tables.table import Row, TableError

PAPER = "paper"
OTHERWISE = "*"  # matches every option without a translation of its own

SET = "set"  # not a group: rules for keys, by pattern
DROP, SCALE, ONLY, VALUE = "drop", "scale", "only", "value"

Tier = dict[str, dict[str, Any]]  # config group -> option of the paper -> option of the tier; `set` -> pattern -> rule
Tiers = dict[str, Tier]


def load_tiers(folder: Path) -> Tiers:
    """Return the tiers of a folder of tables, or of the shipped folder that it lies over."""
    path = (paths.lower_experiments(folder) or folder) / "tiers.yaml"
    return _load(path, path.stat().st_mtime_ns) if path.is_file() else {}


def load_project_tiers(project: Path) -> Tiers:
    """Return the tiers of a project's tables, or the shipped ones if it has no tables."""
    folder = project / "experiments"
    return load_tiers(folder if folder.is_dir() else paths.experiments())


def check_tier(folder: Path, tier: str) -> None:
    """Raise TableError if the tier does not exist."""
    names = [PAPER, *load_tiers(folder)]
    if tier not in names:
        raise TableError(f"there is no tier {tier!r}. {did_you_mean(tier, names)}")


def translate_row(row: Row, tier: str, rules: Tier) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the choices and keys of a row at a tier. Raises TableError if it has only those of another small tier."""
    choice = {} if tier == PAPER else {"tier": tier}
    if tier == row.tier:
        return choice | row.choices, row.assignments
    if row.tier != PAPER:
        raise TableError(f"the row {row.name} is written for tier {row.tier}, not for {tier}: --tier {row.tier}, "
                         f"or experiment={row.tier}/<paper>/<table>/{row.name}")  # fmt: skip
    assignments = translate_assignments(row.assignments, rules) | row.at.get(tier, {})
    return choice | translate_choices(row.choices, rules), assignments


def translate_choices(choices: Mapping[str, str], tier: Tier) -> dict[str, str]:
    """Return a row's choices at a tier; an option without a translation stays the paper's."""
    return {group: _translate_option(tier.get(group, {}), option) for group, option in choices.items()}


def translate_assignments(assignments: Mapping[str, Any], tier: Tier) -> dict[str, Any]:
    """Return the keys that a row sets, at a tier: by the first rule that matches, else with the paper's value."""
    dropped, rules = list_dropped(assignments, tier), tier.get(SET, {})
    return {key: _apply(_find_rule(rules, key), value) for key, value in assignments.items() if key not in dropped}


def list_dropped(assignments: Mapping[str, Any], tier: Tier) -> dict[str, Any]:
    """Return the keys that a row sets and a tier drops, with their values."""
    rules = {key: _find_rule(tier.get(SET, {}), key) for key in assignments}
    return {key: value for key, value in assignments.items() if _drops(rules[key], value)}


def describe_dropped(row: Row, tier: str, rules: Tier, of_base: bool) -> str:
    """Return a sentence on the keys of a row itself, or of its base, that a tier drops; "" if it drops none."""
    dropped = {} if row.tier == tier else list_dropped(row.assignments, rules)
    texts = [f"{key}={value}" for key, value in dropped.items() if (key not in row.own) == of_base]
    return f"tier {tier} drops {', '.join(texts)}" + (" of the base" if of_base else "") if texts else ""


def _find_rule(rules: Mapping[str, Any], key: str) -> Any:
    return next((rule for pattern, rule in rules.items() if fnmatchcase(key, pattern)), None)


def _drops(rule: Any, value: Any) -> bool:
    return rule == DROP or (isinstance(rule, dict) and ONLY in rule and value not in rule[ONLY])


def _apply(rule: Any, value: Any) -> Any:
    if isinstance(rule, dict) and VALUE in rule:
        return rule[VALUE]
    return _scale(value, rule[SCALE]) if isinstance(rule, dict) and SCALE in rule else value


def _scale(value: Any, factor: float) -> Any:
    """Scale a number or a list of numbers; integers, such as counts and pixels, stay integers of at least 1."""
    if isinstance(value, list):
        return [_scale(item, factor) for item in value]
    return max(1, round(value * factor)) if isinstance(value, int) else value * factor


def _translate_option(options: dict[str, str], option: str) -> str:
    return options.get(option, options.get(OTHERWISE, option))


@lru_cache(maxsize=8)
def _load(path: Path, changed: int) -> Tiers:
    """Cached; `changed` (the file's mtime) invalidates the cache."""
    try:
        tiers = yaml.load(path.read_text(encoding="utf-8"), Loader=UniqueKeyLoader) or {}
    except yaml.YAMLError as error:
        raise TableError(f"{path}: not YAML: {describe_yaml_error(error)}") from error
    for tier, groups in tiers.items():
        for group, options in (groups or {}).items():
            if not isinstance(options, dict):
                raise TableError(f"{path}: {tier}.{group}: expected {{paper option: {tier} option}}, found {options!r}")
        for key, rule in (groups or {}).get(SET, {}).items():
            _check_rule(f"{path}: {tier}.{SET}.{key}", rule)
    return tiers


def _check_rule(where: str, rule: Any) -> None:
    types: dict[str, Any] = {SCALE: int | float, ONLY: list, VALUE: object}
    if rule == DROP:
        return
    if isinstance(rule, dict) and len(rule) == 1:
        ((name, value),) = rule.items()
        if name in types and isinstance(value, types[name]):
            return
    raise TableError(
        f"{where}: expected {DROP}, {{{SCALE}: number}}, {{{ONLY}: [values that stay]}} or "
        f"{{{VALUE}: what it becomes}}, found {rule!r}"
    )
