"""Cityscapes' result folder: for each image a text file, in it a line `<mask PNG> <label id> <confidence>` per object.

The text file is anywhere in the folder and named as its image, <city>_<sequence>_<frame>*.txt. The name of a PNG is
relative to it; each pixel that is not zero belongs to the object. Labels that are not evaluated are passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from lineage.eval.files.coco_results import Record, ResultError
from lineage.eval.predictions.rle import encode_masks
from lineage.eval.protocols.cityscapes import label_ids

KNOWN = range(-1, 34)  # Cityscapes' label ids
ENDING = "_leftImg8bit"


class Line(NamedTuple):
    mask: Path
    label: int
    confidence: float
    where: str  # the line, for messages


def read_cityscapes(folder: Path, truth: Mapping[str, Any]) -> list[Record]:
    if not folder.is_dir():
        raise ResultError(f"{folder}: Cityscapes' results are a folder with <city>_<sequence>_<frame>*.txt files.")
    category = {label: number for number, label in label_ids({c["id"]: c["name"] for c in truth["categories"]}).items()}
    texts, records = sorted(folder.rglob("*.txt")), []
    for image in truth["images"]:
        for line in lines(text_of(image, texts, folder), folder):
            if line.label in category:
                found = {"image_id": image["id"], "category_id": category[line.label], "score": line.confidence}
                records.append(found | {"segmentation": mask(line, image)})
            elif line.label not in KNOWN:
                raise ResultError(f"{line.where}: label id {line.label} is not among {', '.join(map(str, category))}.")
    if not records:
        raise ResultError(f"{folder}: no line of its files names an object of {', '.join(map(str, category))}.")
    return records


def text_of(image: Mapping[str, Any], texts: list[Path], folder: Path) -> Path:
    stem = Path(str(image["file_name"])).stem.removesuffix(ENDING)
    own = [text for text in texts if text.name.startswith(stem)]
    if len(own) == 1:
        return own[0]
    if own:
        raise ResultError(f"{folder}: several results for one image: {', '.join(text.name for text in own)}.")
    raise ResultError(f"{folder}: has no {stem}*.txt. Each image needs one; empty if nothing was found.")


def lines(text: Path, folder: Path) -> list[Line]:
    """Masks outside the folder are refused, as by the official script, and those named twice, of which it keeps one."""
    found: dict[Path, Line] = {}
    for number, words in enumerate(map(str.split, text.read_text().splitlines()), 1):
        where = f"{text}, line {number}"
        if not words:
            continue
        try:
            name, label, confidence = words[0], *map(float, words[1:])
        except ValueError:
            raise ResultError(f"{where}: {' '.join(words)!r} is not `mask.png label_id confidence`.") from None
        path = (text.parent / name).resolve()
        if not path.is_relative_to(folder.resolve()) or path in found:
            raise ResultError(f"{where}: {name} is {'named twice' if path in found else f'outside {folder}'}.")
        found[path] = Line(path, int(label), confidence, where)
    return [*found.values()]


def mask(line: Line, image: Mapping[str, Any]) -> dict[str, Any]:
    try:
        with Image.open(line.mask) as file:
            inside = np.asarray(file.convert("L")) != 0
    except OSError as error:
        raise ResultError(f"{line.where}: {line.mask} cannot be read ({error}).") from error
    size = image["height"], image["width"]
    if inside.shape != size:
        told = " x ".join(map(str, inside.shape))
        raise ResultError(f"{line.mask}: has {told} pixels (height x width), its image {size[0]} x {size[1]}.")
    return encode_masks([inside])[0]
