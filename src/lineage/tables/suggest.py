"""What was probably meant: the closest of the names that exist."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher

CLOSE = 0.6  # a similarity from which a name can have been meant
EQUALLY = 0.1  # names this much less similar than the best one are offered beside it


def nearest(name: str, names: Iterable[str]) -> list[str]:
    """Up to three names close to `name`, best first."""
    scores = {known: SequenceMatcher(None, name, known).ratio() for known in names}
    best = max(scores.values(), default=0.0)
    close = [known for known, score in scores.items() if score >= max(CLOSE, best - EQUALLY)]
    return sorted(close, key=lambda known: -scores[known])[:3]


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """A sentence to end an error message with: the nearest names, else all of them when they are few."""
    known = list(names)
    if close := nearest(name, known):
        return f"Did you mean {' or '.join(close)}?"
    return f"There are: {', '.join(known) or 'none'}." if len(known) <= 20 else f"None of the {len(known)} is close."


def nearest_key(key: str, keys: Iterable[str]) -> list[str]:
    """For a dotted key: the closest under the same parent, then keys elsewhere whose last part is the closest."""
    known = list(keys)
    parent, _, leaf = key.rpartition(".")
    siblings = {name.rpartition(".")[2]: name for name in known if name.rpartition(".")[0] == parent}
    beside = [siblings[name] for name in nearest(leaf, siblings)]
    leaves = nearest(leaf, {name.rpartition(".")[2] for name in known})[:1]
    elsewhere = [name for name in known if name.rpartition(".")[2] in leaves]
    elsewhere.sort(key=lambda name: -SequenceMatcher(None, name, key).ratio())
    return (beside or elsewhere or nearest(key, known))[:2]
