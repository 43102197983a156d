"""Which annotations a head cannot do without."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


class UnlabelledError(ValueError):
    """The dataset lacks what a head of this model learns from."""


def required(field: T | None, name: str) -> T:
    """`field` of Targets; UnlabelledError if this batch has none."""
    if field is None:
        raise UnlabelledError(
            f"the dataset has no {name}, which a head of this model learns from; choose a dataset that has them, "
            "or a model without that head (python train.py --help lists both)"
        )
    return field
