"""Replicates of a run's metrics on resampled test images: a hidden file beside its entry, which may be deleted.

results/mask_rcnn/table2c/roi_align/.20261123T040305Z-a3d31b8b-9f02c1.images.json
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from lineage.results.atomic import atomic_write, read_mapping

SUFFIX = ".images.json"
Replicates = Mapping[str, list[float]]  # metric -> its value for each draw of images


def path_of(entry: Path) -> Path:
    """Return the file of the replicates of an entry's file."""
    return entry.with_name(f".{entry.stem}{SUFFIX}")


def list_ids(folder: Path) -> set[str]:
    """Return the ids of the entries in a folder that have replicates."""
    names = os.listdir(folder) if folder.is_dir() else []
    return {name[1 : -len(SUFFIX)] for name in names if name.startswith(".") and name.endswith(SUFFIX)}


def write(entry: Path, replicates: Replicates) -> None:
    """Write the replicates of an entry's file beside it."""
    rounded = {metric: [round(value, 4) for value in values] for metric, values in replicates.items()}
    atomic_write(path_of(entry), json.dumps(rounded))


def read(entry: Path) -> Replicates:
    """Return the replicates of an entry's file; empty if there are none."""
    return read_mapping(path_of(entry))
