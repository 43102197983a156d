"""The keys by which the runs of a store differ, by the rules of `lineage compare`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lineage.results import diff
from lineage.results.entry import Entry
from lineage.results.key_roles import within

LONGEST = 80  # characters of a value


def find_keys(entries: Sequence[Entry]) -> list[str]:
    """Return the dotted keys that two runs have otherwise; of copies by interpolation the first, of a node its root.

    Runs of equal options are compared with the first of them, and these with the first of all: a key within a group
    whose option differs is left out there, as `lineage compare` does.
    """
    by_options: dict[tuple[tuple[str, str], ...], list[Entry]] = {}
    for entry in {entry.config_digest: entry for entry in reversed(entries)}.values():
        by_options.setdefault(tuple(sorted(_groups(entry.choices).items())), []).append(entry)
    keys: dict[str, None] = {}
    representatives = [alike[0] for alike in by_options.values()]
    for first in representatives[1:]:
        keys |= dict.fromkeys(_differ(representatives[0], first))
    for alike in by_options.values():
        for other in alike[1:]:
            keys |= dict.fromkeys(_differ(alike[0], other))
    return sorted(keys)


def _differ(a: Entry, b: Entry) -> Iterator[str]:
    groups = tuple(group.key for group in diff.configs(_groups(a.choices), _groups(b.choices)))
    for difference in diff.experiments(a.config, b.config, groups):
        if not within(difference.key, groups):
            yield difference.key


def read_key(config: Mapping[str, Any], key: str) -> Any:
    """Return the value of a key as a cell shows it: a number, a text, the class of a node, or None if it is absent."""
    value = diff.at(config, key)
    if value == diff.ABSENT:
        return None
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return value
    if isinstance(value, dict):
        value = value.get("_target_", f"{{{', '.join(map(str, value))}}}")
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _groups(choices: Mapping[str, str]) -> dict[str, str]:
    """Return the options without Hydra's own, and without those that only set others."""
    hidden = ("experiment", "hydra", "tier", "trainer", "logger")
    return {name: option for name, option in choices.items() if not name.startswith(hidden)}
