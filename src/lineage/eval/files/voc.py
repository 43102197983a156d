"""The VOC kit's result files: comp4_det_test_<class>.txt, a line `<image name> <score> <x1> <y1> <x2> <y2>` per box."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lineage.eval.files.json_file import Record, ResultError

LISTED = 3  # images that a message names


def read_voc(path: Path, document: Mapping[str, Any]) -> list[Record]:
    """Return the records of a file, or of all files of a folder; `document` is the ground truth.

    Corners are 1-based and inclusive in the files, continuous in the records.
    """
    files = sorted(path.glob("*.txt")) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        results = sorted(path.glob("*results.json"))
        hint = f" Results in COCO's format have a file: {results[0]}" if results else ""
        raise ResultError(f"{path}: holds no <anything>_<class>.txt, which is how VOC's results are named.{hint}")
    classes = {str(category["name"]): category["id"] for category in document["categories"]}
    images = {Path(str(image.get("file_name", image["id"]))).stem: image["id"] for image in document["images"]}
    records: list[Record] = []
    for file in files:
        name = next((name for name in classes if file.stem == name or file.stem.endswith(f"_{name}")), None)
        if name is None:
            raise ResultError(f"{file}: its name ends in no class of the dataset: {', '.join(classes)}.")
        for number, line in enumerate(file.read_text().splitlines(), 1):
            if line.strip():
                records.append(_parse_line(line.split(), classes[name], images, f"{file}, line {number}"))
    return records


def _parse_line(words: list[str], category: int, images: Mapping[str, int], location: str) -> Record:
    try:
        name, score, x1, y1, x2, y2 = words[0], *map(float, words[1:])
    except ValueError:
        raise ResultError(f"{location}: {' '.join(words)!r} is not `name score x1 y1 x2 y2`.") from None
    if name not in images:
        examples = ", ".join([*images][:LISTED])
        raise ResultError(f"{location}: the ground truth has no image {name}; it has {examples}, ...")
    box = [x1 - 1, y1 - 1, x2 - x1 + 1, y2 - y1 + 1]
    return {"image_id": images[name], "category_id": category, "score": score, "bbox": box}
