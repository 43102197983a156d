"""The Penn-Fudan layout: PennFudanPed/PNGImages/*.png and PedMasks/*_mask.png, a number per person.

Every object is written as a person, whatever its class. Of overlapping masks the later one gets the pixel; crowds,
which the layout does not have, become background. Names of Fudan are for training, names of Penn, which sort after
them, for validation: load with `held_out` equal to the number of validation images.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from lineage.data.export.items import decode_mask, iterate_items, save_image
from lineage.data.samples.dataset import Dataset


def write(dataset: Dataset, root: Path, split: str) -> Path:
    """Write the dataset and return the folder of its masks."""
    folder = root / "PennFudanPed"
    for item in iterate_items(dataset):
        stem = f"{'FudanPed' if split == 'train' else 'PennPed'}{item.record['id']:05d}"
        save_image(item.image, folder / "PNGImages" / f"{stem}.png")
        people = np.zeros(item.size, np.uint8)
        objects = [annotation for annotation in item.annotations if not annotation["iscrowd"]]
        for number, annotation in enumerate(objects, 1):
            people[decode_mask(annotation, item.size)] = number
        save_image(Image.fromarray(people), folder / "PedMasks" / f"{stem}_mask.png")
    return folder / "PedMasks"
