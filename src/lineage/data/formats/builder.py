"""COCO's records put together from another format's files, with what was wrong on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags
from PIL import Image as Pillow
from pycocotools import mask as rle

from lineage.data.annotations.defects import IMAGE_RECORD, Defect, Kind, Record, find
from lineage.data.annotations.indexed_dataset import Read

UNREADABLE = Kind(
    "annotation file cannot be used", "fetch or export it again, or take the image out of the split", "image"
)
SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that swap height and width


class Records:
    """Collects images and their objects; `finish` looks for the defects that all formats share."""

    def __init__(self, classes: Mapping[int, str]) -> None:
        """`classes` are the names by category id."""
        self.categories: list[Record] = [{"id": number, "name": name} for number, name in classes.items()]
        self.images: list[Record] = []
        self.annotations: list[Record] = []
        self.defects: list[Defect] = []

    def image(self, number: int, name: str, size: Sequence[int]) -> None:
        self.images.append({"id": number, "file_name": name, "height": int(size[0]), "width": int(size[1])})

    def unusable(self, number: int, name: str, why: object) -> None:
        """An image whose annotations cannot be read."""
        self.defects.append(Defect(UNREADABLE, f"image {number} ({name})", str(why), len(self.images)))
        self.images.append({"id": number, "file_name": name})

    def add(self, category: int, corners: Sequence[float], **fields: Any) -> None:
        """An object of the latest image; `corners` are x1, y1, x2, y2 in continuous pixels."""
        x1, y1, x2, y2 = corners
        area = fields.pop("area", (x2 - x1) * (y2 - y1))
        self.annotations.append({
            "id": len(self.annotations) + 1, "image_id": self.images[-1]["id"], "category_id": category,
            "bbox": [x1, y1, x2 - x1, y2 - y1], "area": area, "iscrowd": 0, **fields,
        })  # fmt: skip

    def mask(self, category: int, inside: np.ndarray, **fields: Any) -> None:
        """An object of the latest image that is known by its pixels [h, w]; nothing where it has none."""
        code = rle.encode(np.asfortranarray(inside, np.uint8))
        x, y, width, height = rle.toBbox(code).tolist()
        if width and height:
            shape = {"size": list(code["size"]), "counts": code["counts"].decode()}
            fields = {"area": int(rle.area(code)), "segmentation": shape, **fields}
            self.add(category, (x, y, x + width, y + height), **fields)

    def finish(self, extra: tuple[str, ...] = (), **told: Any) -> Read:
        content = {"images": self.images, "annotations": self.annotations, "categories": self.categories}
        known = {one.place for one in self.defects}
        found = [one for one in find(content) if not (one.kind == IMAGE_RECORD and one.place in known)]
        return Read(content, [*self.defects, *found], told, extra)


def extent(path: Path) -> tuple[int, int]:
    """(height, width) of an image as it is shown, EXIF rotation applied, for formats without sizes. Raises OSError."""
    with Pillow.open(path) as file:
        width, height = file.size
        turned = file.getexif().get(ExifTags.Base.Orientation) in SIDEWAYS
    return (width, height) if turned else (height, width)
