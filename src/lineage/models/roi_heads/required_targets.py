"""Annotations that a head requires: each head class names them in `required_targets`, before a model is built."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")

MASKS, KEYPOINTS, SEMANTIC = "masks", "keypoints", "semantic"  # fields of Sample and of Targets


class UnlabelledError(ValueError):
    """The dataset lacks annotations that a head of this model requires."""


def require(field: T | None, name: str) -> T:
    """Return `field` of Targets. Raises UnlabelledError if this batch has none."""
    if field is None:
        raise UnlabelledError(
            f"the dataset has no {name}, which a head of this model learns from; choose a dataset that has them, "
            "or a model without that head (python train.py --help lists both)"
        )
    return field
