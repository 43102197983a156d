"""The Penn-Fudan layout: PennFudanPed/PNGImages/*.png and PedMasks/*_mask.png, a number per person.

Every object is a person there, whatever its class was. A pixel has one owner, so of overlapping masks the later one
wins, and a crowd, which the layout does not know, becomes background. Fudan's names are for training, Penn's, which
sort behind them, for validation: load with `held_out` equal to the number of validation images.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from lineage.data.export import items as source
from lineage.data.samples.dataset import Dataset


def write(dataset: Dataset, root: Path, split: str) -> Path:
    folder = root / "PennFudanPed"
    for item in source.items(dataset):
        stem = f"{'FudanPed' if split == 'train' else 'PennPed'}{item.record['id']:05d}"
        source.save(item.image, folder / "PNGImages" / f"{stem}.png")
        people = np.zeros((item.record["height"], item.record["width"]), np.uint8)
        for number, one in enumerate((one for one in item.annotations if not one["iscrowd"]), 1):
            people[source.mask(one, item.record)] = number
        source.save(Image.fromarray(people), folder / "PedMasks" / f"{stem}_mask.png")
    return folder / "PedMasks"
