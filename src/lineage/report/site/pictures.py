"""Validation images with their objects and the detections of each run, in chunks that a page loads one by one."""

from __future__ import annotations

import io
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from PIL import Image

from lineage.eval.scored_document import box_of
from lineage.report.site.parts import SiteWriter
from lineage.report.site.polygons import trace_annotation, trace_mask

if TYPE_CHECKING:
    from lineage.data.samples.dataset import Dataset

CHUNK = 24  # images
LONGEST_SIDE = 960  # pixels of a picture
QUALITY = 86  # JPEG
FEWEST_SCORE = 0.05  # of a detection that is drawn
MOST_DETECTIONS = 60  # of an image

Record = dict[str, Any]


class PictureSet(NamedTuple):
    """The images of one test that the site shows."""

    name: str
    dataset: Dataset
    document: Record  # COCO
    limit: int  # of pictures

    @property
    def positions(self) -> list[int]:
        """Positions in the dataset of the images that are shown."""
        return choose_positions(len(self.dataset), self.limit)

    def chunks(self) -> list[Sequence[int]]:
        positions = self.positions
        return [positions[start : start + CHUNK] for start in range(0, len(positions), CHUNK)]

    def image_id(self, position: int) -> int:
        return int(self.dataset.ids[position])

    def size(self, position: int) -> tuple[int, int]:
        height, width = self.dataset.sizes[position].tolist()
        return int(height), int(width)


def choose_positions(count: int, limit: int) -> list[int]:
    """Return `limit` positions of `count`, evenly spaced, or all."""
    if count <= limit:
        return list(range(count))
    return [math.floor(i * count / limit) for i in range(limit)]


def write_images(writer: SiteWriter, pictures: PictureSet, key: str) -> None:
    """Add the list of the images, and a part per chunk with their objects."""
    meta, names = pictures.dataset.meta, _name_images(pictures.document)
    writer.add(
        f"pictures/{pictures.name}",
        lambda: {
            "classes": list(meta.classes),
            "skeleton": [list(pair) for pair in meta.skeleton if _has_keypoints(pictures.document)],
            "total": len(pictures.dataset),
            "chunk": CHUNK,
            "positions": pictures.positions,
            "names": [names.get(pictures.image_id(i), str(pictures.image_id(i))) for i in pictures.positions],
        },
        key,
    )
    objects = _group(pictures.document["annotations"])
    for number, positions in enumerate(pictures.chunks()):

        def build(positions: Sequence[int] = positions) -> list[Record]:
            return [_describe_image(writer, pictures, i, objects[pictures.image_id(i)]) for i in positions]

        writer.add(f"truth/{pictures.name}/{number}", build, key)


def write_detections(
    writer: SiteWriter, pictures: PictureSet, run: str, records: Sequence[Record], codes: Sequence[int], key: str
) -> None:
    """Add a part per chunk with the detections of a run; `codes` are those of TaskErrors, one per record."""
    by_image = _group([record | {"code": code} for record, code in zip(records, codes, strict=True)])
    label_of = {category: label for label, category in enumerate(pictures.dataset.meta.category_ids)}
    for number, positions in enumerate(pictures.chunks()):

        def build(positions: Sequence[int] = positions) -> list[list[Any]]:
            return [_describe_detections(by_image[pictures.image_id(i)], label_of) for i in positions]

        writer.add(f"detections/{run}/{number}", build, key)


def _describe_image(writer: SiteWriter, pictures: PictureSet, position: int, objects: Sequence[Record]) -> Record:
    height, width = pictures.size(position)
    label_of = {category: label for label, category in enumerate(pictures.dataset.meta.category_ids)}
    return {
        "w": width,
        "h": height,
        "src": writer.add_image(f"{pictures.name}/{position}", lambda: _encode(pictures.dataset, position)),
        "objects": [
            [
                label_of[record["category_id"]],
                *(round(value, 1) for value in box_of(record, (height, width))),
                int(bool(record.get("iscrowd"))),
                trace_annotation(record.get("segmentation"), (height, width)),
                _round_points(record.get("keypoints")),
            ]
            for record in objects
            if record["category_id"] in label_of
        ],
    }


def _describe_detections(records: Sequence[Record], label_of: Mapping[int, int]) -> list[Any]:
    """Return [label, score, x, y, width, height, code of the error, polygons, keypoints] of each, best first."""
    drawn = [
        record
        for record in records
        if record["score"] >= FEWEST_SCORE and record["category_id"] in label_of and "bbox" in record
    ]
    best = sorted(drawn, key=lambda record: -record["score"])[:MOST_DETECTIONS]
    return [
        [
            label_of[record["category_id"]],
            round(record["score"], 3),
            *(round(value, 1) for value in record["bbox"]),
            record["code"],
            trace_mask(record["segmentation"]) if "segmentation" in record else None,
            _round_points(record.get("keypoints")),
        ]
        for record in best
    ]


def _encode(dataset: Dataset, position: int) -> bytes:
    """Return an image as JPEG."""
    image = Image.fromarray(dataset[position].image.permute(1, 2, 0).contiguous().numpy())
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return buffer.getvalue()


def read_scale(path: Path, width: int) -> float:
    """Return the width of a JPEG over that of its image."""
    with Image.open(path) as image:
        return image.width / width


def _group(records: Sequence[Record]) -> Mapping[int, list[Record]]:
    groups: dict[int, list[Record]] = defaultdict(list)
    for record in records:
        groups[record["image_id"]].append(record)
    return groups


def _has_keypoints(document: Record) -> bool:
    """Return whether an object has a labelled keypoint; the classes of some datasets have them, none of its images."""
    return any(any((annotation.get("keypoints") or [])[2::3]) for annotation in document["annotations"])


def _name_images(document: Record) -> dict[int, str]:
    return {image["id"]: str(image["file_name"]) for image in document["images"] if image.get("file_name")}


def _round_points(flat: Sequence[float] | None) -> list[float] | None:
    return None if not flat else [round(value, 1) for value in flat]
