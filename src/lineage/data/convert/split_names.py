"""The split that the path of a file or folder names."""

from __future__ import annotations

import re
from collections.abc import Sequence

SPLITS = {
    "train": "train", "training": "train", "trn": "train", "trainval": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val", "test": "test", "testing": "test",
}  # fmt: skip


def find_split(parts: Sequence[str]) -> str | None:
    """Return the split of the last word in the parts of a path that names one, such as `val` of valid/images/7.jpg."""
    words = [word for part in parts for word in re.findall(r"[a-z]+", part.lower())]
    return next((SPLITS[word] for word in reversed(words) if word in SPLITS), None)
