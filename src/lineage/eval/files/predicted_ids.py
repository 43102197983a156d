"""Image ids that `lineage predict` made up, because it had no annotation file: results that no truth fits."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

BESIDE = "predictions.json"  # what `lineage predict` writes beside its coco_results.json: names of images by their ids
HINT = (
    "`lineage predict` numbers the images itself unless it is told the file whose ids they have: "
    "lineage predict IMAGES ... --annotations FILE, then score its coco_results.json"
)


def find_other_names(results: Path, ids: Iterable[int], images: Iterable[Mapping[str, Any]]) -> str | None:
    """Return an example of an id that stands for another picture in the truth, if most ids of results do.

    images: those of the ground truth. Known only for results that lie where `lineage predict` wrote them.
    """
    try:
        predicted = json.loads((results.parent / BESIDE).read_text(encoding="utf-8"))["images"]
        names = {image["id"]: _stem(image["file_name"]) for image in predicted}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    truth = {image["id"]: _stem(image["file_name"]) for image in images if image.get("file_name")}
    both = [number for number in {*ids} if number in names and number in truth]
    others = [number for number in both if not truth[number].endswith(names[number])]  # COCO_val2014_139 is 139
    if 2 * len(others) <= len(both):
        return None
    first = min(others)
    return f"the image id {first} is {names[first]} in {BESIDE} beside it, and {truth[first]} in the ground truth"


def _stem(name: str) -> str:
    return PurePosixPath(str(name).replace("\\", "/")).stem.lower()
