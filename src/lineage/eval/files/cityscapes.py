"""Cityscapes' result folder: for each image a text file, in it a line `<mask PNG> <label id> <confidence>` per object.

The text file is anywhere in the folder and named as its image, <city>_<sequence>_<frame>*.txt. The name of a PNG is
relative to it; each pixel that is not zero belongs to the object. Labels that are not evaluated are skipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from lineage.eval.files.json_file import Record, ResultError
from lineage.eval.predictions.rle import encode_masks
from lineage.eval.protocols.cityscapes import label_ids

CITYSCAPES_LABELS = range(-1, 34)
ENDING = "_leftImg8bit"


class Line(NamedTuple):
    mask: Path
    label: int
    confidence: float
    location: str  # of the line, for messages


def read_cityscapes(folder: Path, document: Mapping[str, Any]) -> list[Record]:
    """Return the records of a result folder; `document` is the ground truth. Raises ResultError."""
    if not folder.is_dir():
        raise ResultError(f"{folder}: Cityscapes' results are a folder with <city>_<sequence>_<frame>*.txt files.")
    labels = label_ids({category["id"]: category["name"] for category in document["categories"]})
    category_of = {label: number for number, label in labels.items()}
    evaluated = ", ".join(map(str, category_of))
    texts = sorted(folder.rglob("*.txt"))
    records = []
    for image in document["images"]:
        for line in read_lines(find_text(image, texts, folder), folder):
            if line.label in category_of:
                record = {"image_id": image["id"], "category_id": category_of[line.label], "score": line.confidence}
                records.append(record | {"segmentation": read_mask(line, image)})
            elif line.label not in CITYSCAPES_LABELS:
                raise ResultError(f"{line.location}: label id {line.label} is not among {evaluated}.")
    if not records:
        raise ResultError(f"{folder}: no line of its files names an object of {evaluated}.")
    return records


def find_text(image: Mapping[str, Any], texts: list[Path], folder: Path) -> Path:
    """Return the text file of an image among all of a folder."""
    stem = Path(str(image["file_name"])).stem.removesuffix(ENDING)
    candidates = [text for text in texts if text.name.startswith(stem)]
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        names = ", ".join(text.name for text in candidates)
        raise ResultError(f"{folder}: several results for one image: {names}.")
    raise ResultError(f"{folder}: has no {stem}*.txt. Each image needs one; empty if nothing was found.")


def read_lines(text: Path, folder: Path) -> list[Line]:
    """Return the lines of a text file.

    Masks outside the folder are refused, as by the official script, and so are those named twice, of which it keeps
    one.
    """
    lines: dict[Path, Line] = {}
    for number, words in enumerate(map(str.split, text.read_text().splitlines()), 1):
        location = f"{text}, line {number}"
        if not words:
            continue
        try:
            name, label, confidence = words[0], *map(float, words[1:])
        except ValueError:
            raise ResultError(f"{location}: {' '.join(words)!r} is not `mask.png label_id confidence`.") from None
        path = (text.parent / name).resolve()
        if not path.is_relative_to(folder.resolve()) or path in lines:
            raise ResultError(f"{location}: {name} is {'named twice' if path in lines else f'outside {folder}'}.")
        lines[path] = Line(path, int(label), confidence, location)
    return [*lines.values()]


def read_mask(line: Line, image: Mapping[str, Any]) -> dict[str, Any]:
    """Return the RLE of the mask that a line names."""
    try:
        with Image.open(line.mask) as file:
            mask = np.asarray(file.convert("L")) != 0
    except OSError as error:
        raise ResultError(f"{line.location}: {line.mask} cannot be read ({error}).") from error
    size = image["height"], image["width"]
    if mask.shape != size:
        shape = " x ".join(map(str, mask.shape))
        raise ResultError(f"{line.mask}: has {shape} pixels (height x width), its image {size[0]} x {size[1]}.")
    return encode_masks([mask])[0]
