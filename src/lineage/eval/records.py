"""COCO's result records as somebody else wrote them: read, checked, and cut to one geometry."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

ALWAYS = ("image_id", "category_id", "score")
COMMAND = "Name the dataset's own file: lineage evaluate RESULTS --annotations FILE"

Record = dict[str, Any]


class ResultError(ValueError):
    """A result file that cannot be scored; the message names the record."""


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
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


def _wrong(record: Any, sizes: Mapping[int, tuple[int | None, int | None]]) -> str | None:
    """What is wrong with a record, or None."""
    if not isinstance(record, dict):
        return f"is {record!r}, not an object with {', '.join(ALWAYS)}"
    absent = [key for key in ALWAYS if key not in record]
    if absent:
        return f"has no {', '.join(absent)}"
    if not _numbers([record["score"]]):
        return f"has the score {record['score']!r}, not a number"
    if "bbox" in record and not (_numbers(record["bbox"]) and len(record["bbox"]) == 4):
        return f"has the bbox {record['bbox']!r}, not four numbers x, y, width, height"
    if "keypoints" in record and not (_numbers(record["keypoints"]) and len(record["keypoints"]) % 3 == 0):
        return "has keypoints that are not numbers x, y, score for each point"
    shape = record.get("segmentation")
    if isinstance(shape, dict):
        size = sizes.get(record["image_id"])
        if "counts" not in shape or "size" not in shape:
            return "has a segmentation without counts and size, so it is no RLE"
        if size and None not in size and tuple(shape["size"]) != size:
            image = f"image {record['image_id']} of {size[0]} x {size[1]} pixels"
            return f"has a mask of {' x '.join(map(str, shape['size']))} (height x width) for {image}"
    return None


def _numbers(values: Any) -> bool:
    if not isinstance(values, list | tuple):
        return False
    return all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in values)


def _some(values: Iterable[Any]) -> str:
    listed = sorted(map(str, values))
    return ", ".join(listed[:8]) + (", ..." if len(listed) > 8 else "")
