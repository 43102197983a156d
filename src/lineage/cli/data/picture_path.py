"""The argument that names a picture to write."""

from __future__ import annotations

import argparse
from pathlib import Path

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def read_picture_path(text: str) -> Path:
    """Return the path of a picture, a PNG if the name has no suffix; another suffix is an error of usage."""
    path = Path(text)
    if not path.suffix:
        return path.with_suffix(".png")
    if path.suffix.lower() not in SUFFIXES:
        raise argparse.ArgumentTypeError(f"{text}: a picture ends in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")
    return path
