"""Builder of COCO records from another format's files, together with their defects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools import mask as rle

from lineage.data.annotations.build_index import ParsedAnnotations
from lineage.data.annotations.defects import IMAGE_RECORD, Defect, DefectKind, Record, find_defects

UNREADABLE = DefectKind(
    "annotation file cannot be used", "fetch or export it again, or take the image out of the split", "image"
)


class RecordBuilder:
    """Collects images and their objects; `finish` looks for the defects that all formats share."""

    def __init__(self, classes: Mapping[int, str]) -> None:
        """`classes` are the names by category id."""
        self.categories: list[Record] = [{"id": category_id, "name": name} for category_id, name in classes.items()]
        self.images: list[Record] = []
        self.annotations: list[Record] = []
        self.defects: list[Defect] = []

    def add_image(self, image_id: int, name: str, size: Sequence[int]) -> None:
        self.images.append({"id": image_id, "file_name": name, "height": int(size[0]), "width": int(size[1])})

    def add_unreadable_image(self, image_id: int, name: str, reason: object) -> None:
        """Add an image whose annotations cannot be read, as a defect."""
        self.defects.append(Defect(UNREADABLE, f"image {image_id} ({name})", str(reason), len(self.images)))
        self.images.append({"id": image_id, "file_name": name})

    def add_object(self, category_id: int, corners: Sequence[float], **fields: Any) -> None:
        """Add an object of the latest image; `corners` are x1, y1, x2, y2 in continuous pixels."""
        x1, y1, x2, y2 = corners
        area = fields.pop("area", (x2 - x1) * (y2 - y1))
        self.annotations.append({
            "id": len(self.annotations) + 1, "image_id": self.images[-1]["id"], "category_id": category_id,
            "bbox": [x1, y1, x2 - x1, y2 - y1], "area": area, "iscrowd": 0, **fields,
        })  # fmt: skip

    def add_mask(self, category_id: int, mask: np.ndarray, **fields: Any) -> None:
        """Add an object of the latest image by its pixels [h, w]; an empty mask adds nothing."""
        code = rle.encode(np.asfortranarray(mask, np.uint8))
        x, y, width, height = rle.toBbox(code).tolist()
        if width and height:
            segmentation = {"size": list(code["size"]), "counts": code["counts"].decode()}
            fields = {"area": int(rle.area(code)), "segmentation": segmentation, **fields}
            self.add_object(category_id, (x, y, x + width, y + height), **fields)

    def finish(self, extra: tuple[str, ...] = (), **metadata: Any) -> ParsedAnnotations:
        """Return the records; `extra` names the fields of objects that evaluators read."""
        content = {"images": self.images, "annotations": self.annotations, "categories": self.categories}
        unreadable = {defect.position for defect in self.defects}
        defects = [
            defect
            for defect in find_defects(content)
            if not (defect.kind == IMAGE_RECORD and defect.position in unreadable)
        ]
        return ParsedAnnotations(content, [*self.defects, *defects], metadata, extra)
