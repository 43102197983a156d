"""COCO's result records as somebody else wrote them: read, checked, and cut to one geometry."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lineage.eval.predictions.rle import pixels

ALWAYS = ("image_id", "category_id", "score")
COMMAND = "Name the dataset's own file: lineage evaluate RESULTS --annotations FILE"

OUTSIDE = 2.0  # pixels that boxes of COCO's own files reach outside
PORTION = 5000  # masks that are looked at together

Record = dict[str, Any]
Size = tuple[int | None, int | None]


class ResultError(ValueError):
    """A result file that cannot be scored; the message names the record."""


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ResultError(f"{path}: there is no such file.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ResultError(f"{path}: cannot be read ({error}).") from error
    except json.JSONDecodeError as error:
        raise ResultError(f"{path} is not valid JSON: {error}.") from error


def only(records: list[Record], field: str) -> list[Record]:
    """Records with one geometry. A box beside a mask would make pycocotools sort masks by the box's area."""
    return [{key: record[key] for key in (*ALWAYS, field)} for record in records if field in record]


def check(records: Any, truth: Mapping[str, Any], path: Path) -> None:
    """Raises ResultError for the first record that cannot be scored."""
    if isinstance(records, dict) and "annotations" in records:
        raise ResultError(
            f"{path} is a whole dataset, not results. A COCO result file is a non-empty JSON list of detections; "
            "COCO's panoptic results are scored against a panoptic ground truth."
        )
    if not isinstance(records, list) or not records:
        raise ResultError(f"{path}: a COCO result file is a non-empty JSON list of detections.")
    sizes = {image["id"]: (image.get("height"), image.get("width")) for image in truth["images"]}
    for place, record in enumerate(records):
        wrong = _wrong(record, sizes)
        if wrong:
            raise ResultError(f"{path}: record {place} {wrong}.")
    for key, kind in (("image_id", "images"), ("category_id", "categories")):
        unknown = {record[key] for record in records} - {item["id"] for item in truth[kind]}
        if unknown:
            raise ResultError(
                f"{path}: {len(unknown)} {key}s are not among the ground truth's {kind}: {_some(unknown)}. "
                f"It has {len(truth[kind])}, such as {_some([one['id'] for one in truth[kind]][:3])}. {COMMAND}"
            )
    _in_pixels(records, sizes, path)
    _covered(records, path)


def _wrong(record: Any, sizes: Mapping[int, Size]) -> str | None:
    """What is wrong with a record, or None."""
    if not isinstance(record, dict):
        return f"is {record!r}, not an object with {', '.join(ALWAYS)}"
    absent = [key for key in ALWAYS if key not in record]
    if absent:
        return f"has no {', '.join(absent)}"
    for key in ("image_id", "category_id"):
        if not isinstance(record[key], int):
            return f"has the {key} {record[key]!r}, not a whole number"
    if not numbers([record["score"]]):
        return f"has the score {record['score']!r}, not a number"
    if "bbox" in record and not (numbers(box := record["bbox"]) and len(box) == 4 and min(box[2:]) >= 0):
        return f"has the bbox {box!r}, not four numbers x, y, width, height"
    if "keypoints" in record and not (numbers(record["keypoints"]) and len(record["keypoints"]) % 3 == 0):
        return "has keypoints that are not numbers x, y, score for each point"
    if "segmentation" in record:
        return _wrong_mask(record["segmentation"], sizes.get(record["image_id"], (None, None)), record["image_id"])
    return None


def _wrong_mask(shape: Any, size: Size, image: int) -> str | None:
    if isinstance(shape, list) and shape:  # polygons, which pycocotools does not take here, but others write
        fit = all(numbers(one) and len(one) >= 6 and len(one) % 2 == 0 for one in shape)
        return None if fit else "has a polygon that is not at least three points [x1, y1, x2, y2, x3, y3, ...]"
    if not isinstance(shape, dict) or "counts" not in shape or "size" not in shape:
        return f"has the segmentation {shape!r:.60} without counts and size, so it is no RLE"
    if not (numbers(shape["size"]) and len(shape["size"]) == 2):
        return f"has an RLE of size {shape['size']!r}, not [height, width]"
    if not (isinstance(shape["counts"], str | bytes) or numbers(shape["counts"])):
        return f"has an RLE of counts {shape['counts']!r:.60}, neither text nor numbers"
    if None not in size and tuple(shape["size"]) != size:
        told = " x ".join(map(str, shape["size"]))
        return f"has a mask of {told} (height x width) for image {image} of {size[0]} x {size[1]} pixels"
    return None


def _in_pixels(records: list[Record], sizes: Mapping[int, Size], path: Path) -> None:
    """Raises ResultError where all boxes make sense as something else than COCO's x, y, width, height in pixels."""
    pairs = [(one["bbox"], sizes[one["image_id"]]) for one in records if "bbox" in one]
    boxes = np.array([box for box, size in pairs if None not in size], np.float64).reshape(-1, 4)
    limit = np.array([size[::-1] for _, size in pairs if None not in size], np.float64).reshape(-1, 2)
    if not len(boxes):
        return
    asks = "COCO asks for x, y, width, height in pixels."
    if boxes.max() <= 1:
        raise ResultError(f"{path}: all boxes lie within one pixel, as if they were relative to the image. {asks}")
    beyond = (boxes[:, :2] + boxes[:, 2:] > limit + OUTSIDE).any(1).sum()
    corners = (boxes[:, 2:] >= boxes[:, :2]).all() and (boxes[:, 2:] <= limit + OUTSIDE).all()
    if beyond and corners:
        raise ResultError(
            f"{path}: {beyond} of {len(boxes)} boxes reach outside their image, and all would fit as corners "
            f"x1, y1, x2, y2. {asks}"
        )


def _covered(records: list[Record], path: Path) -> None:
    """Raises ResultError for a run-length mask that does not cover its image, which the engine would score unasked."""
    coded = [(i, one["segmentation"]) for i, one in enumerate(records) if isinstance(one.get("segmentation"), dict)]
    for start in range(0, len(coded), PORTION):
        part = coded[start : start + PORTION]
        found = pixels([mask["counts"] for _, mask in part])
        for (place, mask), covered in zip(part, found.tolist(), strict=True):
            if covered != mask["size"][0] * mask["size"][1]:
                told = f"covers {covered} of {mask['size'][0] * mask['size'][1]} pixels"
                raise ResultError(f"{path}: record {place} has an RLE that {told}; it is cut off or damaged.")


def numbers(values: Any) -> bool:
    if not isinstance(values, list | tuple):
        return False
    return all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in values)


def _some(values: Iterable[Any]) -> str:
    listed = sorted(map(str, values))
    return ", ".join(listed[:8]) + (", ..." if len(listed) > 8 else "")
