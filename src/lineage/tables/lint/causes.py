"""The keys that make two configs differ: a value that is interpolated from another key adds no difference.

`model.box.roi: ${roi}` follows the group `roi`, whatever values both have; two keys of equal values, such as the number
of proposals before and after NMS, are two differences.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from lineage.results import diff
from lineage.results.diff import Difference
from lineage.results.key_roles import SAME_EXPERIMENT, keys_with, within

REFERENCE = re.compile(r"\$\{([^${}:]+)\}")  # the innermost: ${a.b} in ${eval:'2 * ${a.b}'}


class RowConfig(NamedTuple):
    """The config of a row, with its interpolations resolved and as written."""

    resolved: dict[str, Any]
    written: dict[str, Any]


def find_differences(a: RowConfig, b: RowConfig, allowed: Sequence[str]) -> list[Difference]:
    """Return the keys that differ by themselves, beside the allowed ones and those that no metric depends on."""
    ignored = [*_neutral(a, b), *allowed]
    return [difference for difference in _walk(a, b, "") if not within(difference.key, ignored)]


def find_causes(a: RowConfig, b: RowConfig, node: str, allowed: Sequence[str]) -> list[Difference]:
    """Return the keys because of which two configs differ in a node, in it or elsewhere, beside the allowed ones."""
    ignored = [*_neutral(a, b), *allowed]
    causes = _follow(a, b, node, ignored, frozenset())
    return list({difference.key: difference for difference in causes}.values())


def _neutral(a: RowConfig, b: RowConfig) -> list[str]:
    keys = [key for config in (a, b) for key in keys_with(config.resolved, *SAME_EXPERIMENT)]
    return list(dict.fromkeys(keys))


def _follow(
    a: RowConfig, b: RowConfig, node: str, ignored: Sequence[str], path: frozenset[str]
) -> Iterator[Difference]:
    """Yield the causes of the differences in a node: its own keys, else those that their interpolations name."""
    if node in path or within(node, ignored):
        return
    resolved = [diff.at(config.resolved, node) for config in (a, b)]
    if resolved[0] == resolved[1]:
        return
    written = [diff.at(config.written, node) for config in (a, b)]
    if all(isinstance(value, dict) for value in (*resolved, *written)):
        for name in dict.fromkeys([*resolved[0], *resolved[1]]):
            yield from _follow(a, b, f"{node}.{name}", ignored, path | {node})
    elif written[0] == written[1] and (references := list_references(written[0], node)):
        for reference in references:
            yield from _follow(a, b, reference, ignored, path | {node})
    else:
        yield Difference(node, *resolved)


def _walk(a: RowConfig, b: RowConfig, key: str) -> Iterator[Difference]:
    """Yield the keys below a node, or of the whole config, that differ and not because of the same interpolation."""
    resolved = [diff.at(config.resolved, key) if key else config.resolved for config in (a, b)]
    written = [diff.at(config.written, key) if key else config.written for config in (a, b)]
    if resolved[0] == resolved[1] or (written[0] == written[1] and list_references(written[0], key)):
        return
    if not all(isinstance(value, dict) for value in (*resolved, *written)):
        yield Difference(key, *resolved)
        return
    for name in dict.fromkeys([*resolved[0], *resolved[1]]):
        yield from _walk(a, b, f"{key}.{name}".lstrip("."))


def list_references(value: Any, key: str) -> list[str]:
    """Return the dotted keys that the interpolations of a value name; `key` is its own, for relative ones."""
    if isinstance(value, list):
        return [reference for item in value for reference in list_references(item, key)]
    if isinstance(value, dict):
        return [reference for item in value.values() for reference in list_references(item, key)]
    texts = REFERENCE.findall(value) if isinstance(value, str) else []
    return [_absolute(text, key) for text in texts]


def _absolute(reference: str, key: str) -> str:
    """`.x` is a neighbour of `key`, `..x` a neighbour of the node that holds it."""
    name = reference.lstrip(".")
    dots = len(reference) - len(name)
    return ".".join([*key.split(".")[:-dots], name]) if dots else name
