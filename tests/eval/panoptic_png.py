"""Panoptic PNGs of tests: the inverse of `pq.read_ids`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from lineage.eval.metrics.pq import Ids


def write_png(path: Path, ids: Ids) -> None:
    """Write segment ids [h, w] as R + 256 G + 256^2 B."""
    pixels = (ids[..., None] // np.array([1, 256, 256**2]) % 256).astype(np.uint8)
    Image.fromarray(pixels).save(path)
