"""Labelled images as COCO-format files, one per split, with the same categories in each."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pycocotools import mask as rle

from lineage.data.convert.labelled import ConvertError, LabelledImage, LabelledObject, Reading
from lineage.results.atomic import atomic_write

WHOLE = "annotations"  # name of the file if the layout has no splits


def write_files(reading: Reading, folder: Path, out: Path, *, overwrite: bool) -> dict[Path, dict[str, Any]]:
    """Write a file for each split and return its content by path.

    folder: of the images. If `out` is another one, the images are copied into it, below `images`.
    Raises ConvertError if nothing was read, an image lies outside `folder`, or a file exists and is not to be
    overwritten.
    """
    documents = {out / f"{split}.json": document for split, document in build_documents(reading, folder).items()}
    existing = [str(path) for path in documents if path.exists()]
    if existing and not overwrite:
        raise ConvertError(f"{', '.join(existing)}: exists. Add --overwrite to write it again")
    out.mkdir(parents=True, exist_ok=True)
    if out.resolve() != folder.resolve():
        for document in documents.values():
            copy_images(document, folder, out)
    for path, document in documents.items():
        atomic_write(path, json.dumps(document))
    return documents


def build_documents(reading: Reading, folder: Path) -> dict[str, dict[str, Any]]:
    """Return the COCO document of each split; images without one are for training, if others have one."""
    if not any(image.objects for image in reading.images):
        first = f" The first problem: {reading.problems[0]}" if reading.problems else ""
        raise ConvertError(f"{folder}: no object could be read from {len(reading.images)} images.{first}")
    splits: dict[str, list[LabelledImage]] = defaultdict(list)
    default = "train" if any(image.split for image in reading.images) else WHOLE
    for image in reading.images:
        splits[image.split or default].append(image)
    used = {item.label for image in reading.images for item in image.objects}
    classes = [*reading.classes, *sorted(used - set(reading.classes))]
    ids = {label: number for number, label in enumerate(classes, 1)}
    with_keypoints = {item.label for image in reading.images for item in image.objects if item.keypoints}
    categories = [
        {"id": ids[name], "name": name, **({"keypoints": [*reading.keypoints]} if name in with_keypoints else {})}
        for name in classes
    ]
    return {
        split: build_document(images, ids, categories, reading.keypoints, folder) for split, images in splits.items()
    }


def build_document(
    images: Sequence[LabelledImage],
    ids: Mapping[str, int],
    categories: list[dict[str, Any]],
    keypoints: Sequence[str],
    folder: Path,
) -> dict[str, Any]:
    records, annotations = [], list[dict[str, Any]]()
    for image_id, image in enumerate(images, 1):
        path, (height, width) = image.path.resolve(), image.size
        if not path.is_relative_to(folder.resolve()):
            raise ConvertError(f"{image.path}: lies outside {folder}; put images and annotations in one folder")
        name = path.relative_to(folder.resolve()).as_posix()
        records.append({"id": image_id, "file_name": name, "height": height, "width": width})
        for item in image.objects:
            record = {"id": len(annotations) + 1, "image_id": image_id, "category_id": ids[item.label], "iscrowd": 0}
            annotations.append(record | describe_object(item, image.size, keypoints))
    return {"images": records, "annotations": annotations, "categories": categories}


def describe_object(item: LabelledObject, size: Sequence[int], keypoints: Sequence[str]) -> dict[str, Any]:
    """Return the geometry of an annotation. COCO's box is [x, y, width, height]."""
    x1, y1, x2, y2 = item.corners
    record: dict[str, Any] = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)}
    if item.rle is not None:
        record |= {"segmentation": item.rle, "area": float(rle.area(item.rle))}
    elif item.polygons:
        polygons = [[round(value, 2) for value in polygon] for polygon in item.polygons]
        record |= {"segmentation": polygons, "area": float(rle.area(rle.merge(rle.frPyObjects(polygons, *size))))}
    if item.keypoints:
        points = [item.keypoints.get(name, (0.0, 0.0, 0)) for name in keypoints]
        record |= {
            "keypoints": [value for point in points for value in point],
            "num_keypoints": sum(visibility > 0 for *_, visibility in points),
        }
    return record


def copy_images(document: dict[str, Any], folder: Path, out: Path) -> None:
    """Copy the images of a document into `out`/images, and name them there."""
    for record in document["images"]:
        target = out / "images" / record["file_name"]
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            shutil.copyfile(folder / record["file_name"], target)
        record["file_name"] = f"images/{record['file_name']}"
