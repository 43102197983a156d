"""Types of JSON values: is a value what the annotation of a field says? An entry of somebody else may hold anything."""

from __future__ import annotations

import math
import types
from typing import Any, Union, get_args, get_origin

LARGEST = 2**63  # of integers


def find_mismatch(value: Any, hint: Any) -> str | None:
    """Return what is wrong with a value, or None if it is of the type `hint`, e.g. dict[str, float | None]."""
    if hint is Any:
        return None
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        reasons = [find_mismatch(value, option) for option in arguments]
        return None if None in reasons else f"{_shorten(value)} is not {_name(hint)}"
    if origin is list and isinstance(value, list):
        return next(filter(None, (find_mismatch(item, arguments[0]) for item in value)), None)
    if origin is dict and isinstance(value, dict):
        wrong = ((key, find_mismatch(key, str) or find_mismatch(item, arguments[1])) for key, item in value.items())
        return next((f"{_shorten(key)}: {reason}" for key, reason in wrong if reason), None)
    return None if origin is None and _is_plain(value, hint) else f"{_shorten(value)} is not {_name(hint)}"


def _is_plain(value: Any, kind: Any) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < LARGEST
    if kind is str:
        return isinstance(value, str) and not any("\ud800" <= letter <= "\udfff" for letter in value)
    return value is None if kind is type(None) else isinstance(value, kind)


def _name(hint: Any) -> str:
    names = {str: "text", int: "an integer", float: "a number", bool: "true or false", type(None): "null"}
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(_name(option) for option in get_args(hint))
    return names.get(hint) or {list: "a list", dict: "a mapping"}.get(get_origin(hint) or hint, str(hint))


def _shorten(value: Any) -> str:
    """Return the beginning of a value; an integer of 5,000 digits and a list of itself have none."""
    if isinstance(value, int) and abs(value) >= LARGEST:
        return "an integer of more than 63 bits"
    text = repr(value) if isinstance(value, str | int | float | type(None)) else f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:60]}..."
