"""The JSON of COCO's and LVIS's files, with the polygons of each mask in one piece of memory, not lists of numbers.

A document is read once. Each segmentation is kept as text until its turn comes: lists of its numbers are freed at once.
"""

from __future__ import annotations

from typing import Annotated, Any, NotRequired, TypedDict

import msgspec

from lineage.data.annotations.polygon_table import join_polygons
from lineage.data.annotations.validate import parse_json

Record = dict[str, Any]


class Annotation(TypedDict):
    """The fields of an annotation that a dataset reads."""

    id: int
    image_id: int
    category_id: int
    bbox: Any
    segmentation: NotRequired[msgspec.Raw]  # the text, until its turn comes
    area: NotRequired[Any]
    iscrowd: NotRequired[Any]
    keypoints: NotRequired[Any]
    first_keypoint: NotRequired[Any]


class Document(TypedDict):
    images: list[Record]
    annotations: list[Annotation]
    categories: list[Record]


DOCUMENTS = msgspec.json.Decoder(Document)
POLYGONS = msgspec.json.Decoder(list[Annotated[list[float], msgspec.Meta(min_length=6)]])


def parse_coco(text: bytes) -> Any:
    """Return what JSON holds, and of a document of COCO the fields above. Raises ValueError or RecursionError."""
    try:
        document: Any = DOCUMENTS.decode(text)
        for annotation in document["annotations"]:
            if "segmentation" in annotation:
                annotation["segmentation"] = _parse_segmentation(annotation["segmentation"])
    except (ValueError, RecursionError):  # rare in JSON, or in COCO: each is looked at later
        return parse_json(text)
    return document


def _parse_segmentation(text: msgspec.Raw) -> Any:
    """Return polygons of three points or more in one piece, and any other segmentation as it is."""
    try:
        polygons = POLYGONS.decode(text)
    except msgspec.ValidationError:  # run lengths, or less than three points
        return msgspec.json.decode(text)
    if not polygons or [polygon for polygon in polygons if len(polygon) % 2]:
        return msgspec.json.decode(text)
    return join_polygons(polygons)
