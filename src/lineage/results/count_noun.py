"""Counts in sentences: "1 table", "3 tables", "1 entry", "0 entries"."""

from __future__ import annotations


def count_noun(count: int, noun: str) -> str:
    """Return the count and the noun, in the plural unless the count is one; `noun` is the singular."""
    if count == 1:
        return f"1 {noun}"
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count:,} {plural}"
