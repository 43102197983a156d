"""What was probably meant: the closest of the names that exist."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, names: Iterable[str]) -> list[str]:
    """Up to three names close to `name`, best first; of dotted names, those that end alike come in as well."""
    known = list(dict.fromkeys(names))
    close = get_close_matches(name, known, n=3, cutoff=0.6)
    ending = get_close_matches(name.rpartition(".")[2], {key.rpartition(".")[2] for key in known}, n=1, cutoff=0.8)
    alike = [key for key in known if ending and key.rpartition(".")[2] == ending[0]]
    return list(dict.fromkeys([*close, *alike]))[:3]


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """A sentence to end an error message with: the nearest names, else all of them when they are few."""
    known = list(names)
    if close := nearest(name, known):
        return f"Did you mean {' or '.join(close)}?"
    if not known:
        return "There are none."
    return f"There are: {', '.join(known)}." if len(known) <= 20 else f"There are {len(known)} others."
