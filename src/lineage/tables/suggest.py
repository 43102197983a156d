"""Suggestions for a mistyped name: the closest of the names that exist."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher

CLOSE = 0.6  # names less similar than that are not suggested
EQUALLY = 0.1  # names this much less similar than the best one are suggested beside it
FEW = 20  # names that an error message lists in full


def nearest(name: str, names: Iterable[str]) -> list[str]:
    """Return up to three names close to `name`, best first."""
    scores = {other: SequenceMatcher(None, name, other).ratio() for other in names}
    best = max(scores.values(), default=0.0)
    close = [other for other, score in scores.items() if score >= max(CLOSE, best - EQUALLY)]
    return sorted(close, key=lambda other: -scores[other])[:3]


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return a sentence to end an error message with: the nearest names, or all of them if they are few."""
    names = list(names)
    if close := nearest(name, names):
        return f"Did you mean {' or '.join(close)}?"
    return f"There are: {', '.join(names) or 'none'}." if len(names) <= FEW else f"None of the {len(names)} is close."


def nearest_key(key: str, keys: Iterable[str]) -> list[str]:
    """Return up to two close dotted keys: of the same parent, else those elsewhere whose last part is the closest."""
    keys = list(keys)
    parent, _, leaf = key.rpartition(".")
    siblings = {name.rpartition(".")[2]: name for name in keys if name.rpartition(".")[0] == parent}
    beside = [siblings[name] for name in nearest(leaf, siblings)]
    leaves = nearest(leaf, {name.rpartition(".")[2] for name in keys})[:1]
    elsewhere = [name for name in keys if name.rpartition(".")[2] in leaves]
    elsewhere.sort(key=lambda name: -SequenceMatcher(None, name, key).ratio())
    return (beside or elsewhere or nearest(key, keys))[:2]
