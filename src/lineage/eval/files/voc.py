"""The VOC kit's result files: comp4_det_test_<class>.txt, a line `<image name> <score> <x1> <y1> <x2> <y2>` per box."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lineage.eval.files.coco_results import Record, ResultError


def read_voc(path: Path, truth: Mapping[str, Any]) -> list[Record]:
    """Of one file, or of all of a folder. Corners are 1-based and inclusive there, continuous in the records."""
    files = sorted(path.glob("*.txt")) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise ResultError(f"{path}: holds no <anything>_<class>.txt, which is how VOC's results are named.")
    classes = {str(one["name"]): one["id"] for one in truth["categories"]}
    images = {Path(str(one.get("file_name", one["id"]))).stem: one["id"] for one in truth["images"]}
    records: list[Record] = []
    for file in files:
        name = next((name for name in classes if file.stem == name or file.stem.endswith(f"_{name}")), None)
        if name is None:
            raise ResultError(f"{file}: its name ends in no class of the dataset: {', '.join(classes)}.")
        for number, line in enumerate(file.read_text().splitlines(), 1):
            if line.strip():
                records.append(_record(line.split(), classes[name], images, f"{file}, line {number}"))
    return records


def _record(words: list[str], category: int, images: Mapping[str, int], where: str) -> Record:
    try:
        name, score, x1, y1, x2, y2 = words[0], *map(float, words[1:])
    except ValueError:
        raise ResultError(f"{where}: {' '.join(words)!r} is not `name score x1 y1 x2 y2`.") from None
    if name not in images:
        raise ResultError(f"{where}: the ground truth has no image {name}; it has {', '.join([*images][:3])}, ...")
    box = [x1 - 1, y1 - 1, x2 - x1 + 1, y2 - y1 + 1]
    return {"image_id": images[name], "category_id": category, "score": score, "bbox": box}
