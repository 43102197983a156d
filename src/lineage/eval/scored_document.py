"""The part of a COCO document that is scored: an engine gets this only, free of the decoration of annotation tools.

Exports of CVAT, Datumaro, Supervisely and others carry fields of any type and nulls. Fields that are missing or null
are completed here, in one way for annotation files and for datasets:

    area        that of the box, as datasets complete it
    bbox        that of the mask, or else of the labelled keypoints
    iscrowd     0
    num_keypoints   keypoints whose visibility is not 0
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pycocotools.mask

from lineage.eval.document import ProtocolError
from lineage.eval.predictions.rle import compress_counts
from lineage.eval.scores import class_names
from lineage.eval.tasks import FIELDS

Record = dict[str, Any]

SIZE = ("height", "width")
OUTSIDE_ALL_SIZES = 1e11  # an area that no size of object includes, so that engines ignore the object
FEDERATED_LISTS = ("neg_category_ids", "not_exhaustive_category_ids")


def coco_documents(document: Mapping[str, Any], tasks: Sequence[str]) -> dict[str, Record]:
    """Return for each task what COCO's protocol reads of a document; tasks that read the same share one.

    For masks, an object without one becomes a crowd that fills its box: detections inside are ignored.
    """
    content = strip_document(document, tasks)
    masked = _fill_masks(content) if any(map(scores_masks, tasks)) else content
    documents = {task: masked if scores_masks(task) else content for task in tasks}
    if "boundary" in tasks:
        documents["boundary"] = _ignore(masked, document)
    return documents


def lvis_documents(document: Mapping[str, Any], tasks: Sequence[str]) -> dict[str, Record]:
    """Return for each task what LVIS's protocol reads of a document; tasks that read the same share one.

    As in lvis-api, objects without an area vanish, `iscrowd` is not read, and `ignore` is.
    """
    content = strip_document(document, tasks)
    for image, source in zip(content["images"], document["images"], strict=True):
        image.update({key: source.get(key) or [] for key in FEDERATED_LISTS})
    for category, source in zip(content["categories"], document["categories"], strict=True):
        category["frequency"] = source.get("frequency", "f")  # always there if there are objects
    objects = [annotation | {"iscrowd": 0} for annotation in content["annotations"] if annotation["area"] > 0]
    content = _ignore(content | {"annotations": objects}, document)
    masked = _fill_masks(content) if any(map(scores_masks, tasks)) else content
    return {task: masked if scores_masks(task) else content for task in tasks}


def strip_document(document: Mapping[str, Any], tasks: Sequence[str]) -> Record:
    """Return images, annotations and categories with the fields that `tasks` read, completed."""
    images = {
        image["id"]: {"id": image["id"]} | {key: image[key] for key in SIZE if is_number(image.get(key))}
        for image in document["images"]
    }
    has_masks = any(map(scores_masks, tasks))
    has_keypoints = "keypoint" in tasks
    length = keypoint_length(document)
    annotations = []
    for annotation in document["annotations"]:
        scored = _complete(annotation, images[annotation["image_id"]])
        if has_masks and annotation.get("segmentation"):
            scored["segmentation"] = _check_mask(annotation, images[annotation["image_id"]])
        if has_keypoints:
            scored |= _keypoints(annotation, length)
        annotations.append(scored)
    names = class_names(document["categories"])
    categories = [{"id": category["id"], "name": names[category["id"]]} for category in document["categories"]]
    return {"images": [*images.values()], "annotations": annotations, "categories": categories}


def scores_masks(task: str) -> bool:
    return FIELDS[task] == "segmentation"


def keypoint_length(document: Mapping[str, Any]) -> int:
    """Return the length of the longest list of keypoints, three times their number."""
    return max((len(annotation.get("keypoints") or ()) for annotation in document["annotations"]), default=0)


def box_of(annotation: Mapping[str, Any], size: tuple[int, int] | None = None) -> list[float]:
    """Return the box x, y, width, height of an annotation; `size` (height, width) is needed for that of a mask."""
    box, shape = annotation.get("bbox"), annotation.get("segmentation")
    if box is not None and len(box) == 4 and all(map(is_number, box)):
        return list(box)
    if shape and size:
        rle = {"size": [*size], "counts": compress_counts(shape, size)}
        return [float(value) for value in pycocotools.mask.toBbox(rle)]
    points = annotation.get("keypoints") or ()
    labelled = [(x, y) for x, y, flag in zip(points[::3], points[1::3], points[2::3], strict=True) if flag > 0]
    if not labelled:
        return [0.0, 0.0, 0.0, 0.0]
    x, y = zip(*labelled, strict=True)
    return [min(x), min(y), max(x) - min(x), max(y) - min(y)]


def is_number(value: Any) -> bool:
    """Return True for a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _complete(annotation: Mapping[str, Any], image: Record) -> Record:
    """Return the fields of an annotation that every task reads."""
    box = box_of(annotation, size_of(image))
    area = annotation.get("area")
    return {
        "id": annotation["id"],
        "image_id": annotation["image_id"],
        "category_id": annotation["category_id"],
        "bbox": box,
        "area": area if is_number(area) else box[2] * box[3],
        "iscrowd": int(bool(annotation.get("iscrowd"))),
    }


def size_of(image: Record) -> tuple[int, int] | None:
    """Return (height, width) of an image, or None if they are unknown."""
    return (image["height"], image["width"]) if all(key in image for key in SIZE) else None


def _check_mask(annotation: Mapping[str, Any], image: Record) -> Any:
    shape = annotation["segmentation"]
    if isinstance(shape, list) and size_of(image) is None:
        raise ProtocolError(
            f"Masks cannot be scored: image {image['id']} has no height and width, which the polygons of annotation "
            f"{annotation['id']} need. Add them to its record."
        )
    return shape


def _keypoints(annotation: Mapping[str, Any], length: int) -> Record:
    """Return the keypoints, filled up with unlabelled ones to that of the category that has most."""
    points = [*(annotation.get("keypoints") or ())]
    count = annotation.get("num_keypoints")
    points += [0] * (length - len(points))
    return {"keypoints": points, "num_keypoints": count if is_number(count) else sum(v > 0 for v in points[2::3])}


def _fill_masks(content: Record) -> Record:
    """Turn objects without a mask into crowds that fill their boxes."""
    if all("segmentation" in annotation for annotation in content["annotations"]):
        return content
    annotations = [
        annotation if "segmentation" in annotation else annotation | _box_as_crowd(annotation["bbox"])
        for annotation in content["annotations"]
    ]
    return content | {"annotations": annotations}


def _box_as_crowd(box: Sequence[float]) -> Record:
    x, y, width, height = box
    corners = [x, y, x, y + height, x + width, y + height, x + width, y]
    return {"segmentation": [corners], "iscrowd": 1}


def _ignore(content: Record, document: Mapping[str, Any]) -> Record:
    """Make engines ignore the objects that the document marks by `ignore`: their size is none of those scored."""
    ignored = {annotation["id"] for annotation in document["annotations"] if annotation.get("ignore")}
    if not ignored:
        return content
    annotations = [
        annotation | {"area": OUTSIDE_ALL_SIZES} if annotation["id"] in ignored else annotation
        for annotation in content["annotations"]
    ]
    return content | {"annotations": annotations}
