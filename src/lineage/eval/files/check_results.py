"""Checks of COCO's result records that others wrote: what cannot be scored, or would be scored wrongly in silence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lineage.eval.files.json_file import COMMAND, Record, ResultError, is_numbers
from lineage.eval.files.predicted_ids import HINT, find_other_names
from lineage.eval.predictions.rle import count_pixels

REQUIRED = ("image_id", "category_id", "score")
OUTSIDE = 2.0  # pixels that boxes of COCO's own files reach outside
BLOCK = 5000  # masks that are checked at once
PROOF = 3  # boxes outside their image that are no coincidence
WHOLE_NUMBER = re.compile(r"[+-]?\d+(\.0*)?")
ID_FIELDS = ("image_id", "category_id")
LISTED = 8  # ids that a message names

Size = tuple[int | None, int | None]


def cure_ids(records: Any) -> tuple[str, ...]:
    """Make ids of records whole numbers where they are "17" or 17.0, as datasets are read; return a note if any is."""
    cured = 0
    for record in records if isinstance(records, list) else ():
        for key in ID_FIELDS if isinstance(record, dict) else ():
            value = record.get(key)
            if isinstance(value, str | float) and WHOLE_NUMBER.fullmatch(str(value).strip()):
                record[key], cured = int(str(value).strip().partition(".")[0]), cured + 1
    if not cured:
        return ()
    return (f"{cured} ids of records are text or have a decimal point, and are read as whole numbers.",)


def check_results(records: Any, document: Mapping[str, Any], path: Path) -> None:
    """Raise ResultError for the first record that cannot be scored; `document` is the ground truth."""
    # 1. The file is a list of records.
    if isinstance(records, dict) and "annotations" in records:
        raise ResultError(
            f"{path} is a whole dataset, not results. A COCO result file is a JSON list of detections; "
            "COCO's panoptic results are scored against a panoptic ground truth."
        )
    if not isinstance(records, list):
        raise ResultError(f"{path}: a COCO result file is a JSON list of detections; [] if there are none.")
    # 2. Its ids are those of the ground truth, not numbers of `lineage predict`.
    written = [record.get("image_id") for record in records if isinstance(record, dict)]
    numbers = [number for number in written if isinstance(number, int)]
    if other := find_other_names(path, numbers, document["images"]):
        raise ResultError(f"{path}: {other}. {HINT}")
    # 3. Each record by itself.
    sizes = {image["id"]: (image.get("height"), image.get("width")) for image in document["images"]}
    for index, record in enumerate(records):
        defect = _find_defect(record, sizes)
        if defect:
            raise ResultError(f"{path}: record {index} {defect}.")
    # 4. No id is unknown.
    for key, kind in (("image_id", "images"), ("category_id", "categories")):
        ids = {item["id"] for item in document[kind]}
        unknown = {record[key] for record in records} - ids
        if unknown:
            examples = _list([item["id"] for item in document[kind]][:3])
            count = sum(record[key] in unknown for record in records)
            advice = f"{COMMAND}. {HINT}" if key == "image_id" else COMMAND
            raise ResultError(
                f"{path}: {len(unknown)} {key}s are not among the ground truth's {kind}: {_list(unknown)}. {count} of "
                f"{len(records)} records have them. It has {len(document[kind])}, such as {examples}. {advice}"
            )
    # 5. All records together.
    _check_box_format(records, sizes, path)
    _check_coverage(records, path)


def _find_defect(record: Any, sizes: Mapping[int, Size]) -> str | None:
    """Return the defect of a record as the end of a sentence, or None."""
    if not isinstance(record, dict):
        return f"is {record!r}, not an object with {', '.join(REQUIRED)}"
    absent = [key for key in REQUIRED if key not in record]
    if absent:
        return f"has no {', '.join(absent)}"
    for key in ("image_id", "category_id"):
        if not isinstance(record[key], int):
            return f"has the {key} {record[key]!r}, not a whole number"
    if not is_numbers([record["score"]]):
        return f"has the score {record['score']!r}, not a number"
    box, points = record.get("bbox"), record.get("keypoints")
    if box is not None and not (is_numbers(box) and len(box) == 4 and min(box[2:]) >= 0):
        return f"has the bbox {box!r}, not four numbers x, y, width, height"
    if points is not None and not (is_numbers(points) and len(points) % 3 == 0):
        return "has keypoints that are not numbers x, y, score for each point"
    if record.get("segmentation") is not None:
        size = sizes.get(record["image_id"], (None, None))
        return _find_mask_defect(record["segmentation"], size, record["image_id"])
    return None


def _find_mask_defect(shape: Any, size: Size, image: int) -> str | None:
    if isinstance(shape, list) and shape:  # polygons: pycocotools refuses them in results, but other tools write them
        are_polygons = all(is_numbers(polygon) and len(polygon) >= 6 and len(polygon) % 2 == 0 for polygon in shape)
        if not are_polygons:
            return "has a polygon that is not at least three points [x1, y1, x2, y2, x3, y3, ...]"
        if None in size:
            return "has polygons, and the ground truth no height and width of its image"
        reach = max(side for side in size if side is not None)
        numbers = [number for polygon in shape for number in polygon]
        is_near = -reach <= min(numbers) and max(numbers) <= 2 * reach  # pycocotools ends the process for 10^12
        return None if is_near else f"has a polygon from {min(numbers):g} to {max(numbers):g} for image {image}"
    if not isinstance(shape, dict) or "counts" not in shape or "size" not in shape:
        return f"has the segmentation {shape!r:.60} without counts and size, so it is no RLE"
    if not (is_numbers(shape["size"]) and len(shape["size"]) == 2):
        return f"has an RLE of size {shape['size']!r}, not [height, width]"
    if not (isinstance(shape["counts"], str | bytes) or is_numbers(shape["counts"])):
        return f"has an RLE of counts {shape['counts']!r:.60}, neither text nor numbers"
    if None not in size and tuple(shape["size"]) != size:
        mask_size = " x ".join(map(str, shape["size"]))
        return (
            f"has a mask of {mask_size} (height x width) for image {image} of {size[0]} x {size[1]} pixels: its image "
            f"id is that of another image, or the mask has another scale. {HINT}"
        )
    return None


def _check_box_format(records: Sequence[Record], sizes: Mapping[int, Size], path: Path) -> None:
    """Raise ResultError if all boxes make sense in another notation than COCO's x, y, width, height in pixels."""
    pairs = [(record["bbox"], sizes[record["image_id"]]) for record in records if record.get("bbox") is not None]
    boxes = np.array([box for box, size in pairs if None not in size], np.float64).reshape(-1, 4)
    limit = np.array([size[::-1] for _, size in pairs if None not in size], np.float64).reshape(-1, 2)
    if not len(boxes):
        return
    format_ = "COCO's boxes are x, y, width, height in pixels."
    if boxes.max() <= 1 and (boxes % 1).any():
        raise ResultError(f"{path}: all boxes lie within one pixel, as if they were relative to the image. {format_}")
    num_outside = (boxes[:, :2] + boxes[:, 2:] > limit + OUTSIDE).any(1).sum()
    fit_as_corners = (boxes[:, 2:] >= boxes[:, :2]).all() and (boxes[:, 2:] <= limit + OUTSIDE).all()
    if num_outside >= PROOF and fit_as_corners:
        raise ResultError(
            f"{path}: {num_outside} of {len(boxes)} boxes reach outside their image, and all would fit as corners "
            f"x1, y1, x2, y2. {format_}"
        )


def _check_coverage(records: Sequence[Record], path: Path) -> None:
    """Raise ResultError for a run-length mask that does not cover its image; the engine would score it in silence."""
    masks = [(i, record["segmentation"]) for i, record in enumerate(records)
             if isinstance(record.get("segmentation"), dict)]  # fmt: skip
    for start in range(0, len(masks), BLOCK):
        block = masks[start : start + BLOCK]
        covered = count_pixels([mask["counts"] for _, mask in block]).tolist()
        for (index, mask), pixels in zip(block, covered, strict=True):
            total = mask["size"][0] * mask["size"][1]
            if pixels != total:
                defect = f"an RLE that covers {pixels} of {total} pixels; it is cut off or damaged"
                raise ResultError(f"{path}: record {index} has {defect}.")


def _list(values: Iterable[Any]) -> str:
    texts = sorted(map(str, values))
    return ", ".join(texts[:LISTED]) + (", ..." if len(texts) > LISTED else "")
