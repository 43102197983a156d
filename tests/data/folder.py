"""Small COCO-format folders on disk, good ones and broken ones."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Content = dict[str, Any]
SQUARE = [[2, 2, 12, 2, 12, 10, 2, 10]]


def content(images: int = 3) -> Content:
    """One square per image, 30 x 20 pixels (width x height); ids and category ids with gaps."""
    return {
        "images": [{"id": 10 * i, "file_name": f"{i}.png", "height": 20, "width": 30} for i in range(1, images + 1)],
        "annotations": [annotation(i, 10 * i) for i in range(1, images + 1)],
        "categories": [{"id": 9, "name": "dog"}, {"id": 4, "name": "cat"}],
    }


def annotation(number: int, image: int, **changes: Any) -> Content:
    told = {"id": number, "image_id": image, "category_id": 4, "bbox": [2, 2, 10, 8], "area": 80, "iscrowd": 0}
    return {**told, "segmentation": SQUARE, **changes}


def write(root: Path, told: Content | str, name: str = "train.json") -> Path:
    """The JSON, and an image for every record that has a file name."""
    root.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(told if isinstance(told, str) else json.dumps(told))
    for image in told.get("images", ()) if isinstance(told, dict) else ():
        if isinstance(image.get("file_name"), str):
            save(root / "images" / image["file_name"])
    return root


def save(path: Path, height: int = 20, width: int = 30, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    ramp = np.arange(height * width * 3).reshape(height, width, 3) % 251
    Image.fromarray(ramp.astype(np.uint8)).save(path, **options)


def age(root: Path) -> None:
    """Set the times of a folder's files back, as if none was written a moment ago: what they hold may be remembered."""
    for path in (*root.rglob("*"), root):
        os.utime(path, (time.time() - 60,) * 2)
