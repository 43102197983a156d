"""Cures of records that break the format in a way that leaves no doubt: each is counted, and reported with an example.

Ids written as text or with a decimal point, annotations without ids, names of files that differ from those on disk by
what tools and systems change about them, and images without width and height.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from pathlib import Path
from types import NoneType
from typing import Any, NamedTuple

from lineage.data.annotations.defects import Record, has_size
from lineage.data.annotations.image_folder import ImageFolder
from lineage.data.samples.image import Decoding, ImageError, read_size

WHOLE_NUMBER = re.compile(r"[+-]?\d+(\.0*)?")
NUMBERS = {
    "categories": ("id",),
    "images": ("id", "height", "width"),
    "annotations": ("id", "image_id", "category_id", "iscrowd"),
}  # fields that are whole numbers
NUMBER = "whole number written as text or with a decimal point"
NO_IDS = "annotation without an id, numbered"
NO_SIZE = "image without height and width, read from its file"


class Cure(NamedTuple):
    """All cures of one kind."""

    kind: str
    number: int
    example: str


class CureLog:
    """Counts cures by kind, and keeps the first example of each."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, str] = {}

    def add(self, kind: str, example: str) -> None:
        self.counts[kind] += 1
        self.examples.setdefault(kind, example)

    def cures(self) -> list[Cure]:
        return [Cure(kind, count, self.examples[kind]) for kind, count in self.counts.items()]


def format_cures(cures: Iterable[Cure], source: Path) -> str:
    """Return a line per kind: how many, and one of them."""
    lines = [f"  {cure.kind}: {cure.number}, such as {cure.example}" for cure in cures]
    return "\n".join([f"{source}: cured while reading; the file stays as it is.", *lines])


def cure_numbers(content: Mapping[str, Sequence[Record]], log: CureLog) -> None:
    """Make ids, sizes and crowd flags whole numbers, if they are that in another notation; number bare annotations."""
    for name, keys in NUMBERS.items():
        if are_whole(content[name], keys):
            continue
        for position, record in enumerate(content[name]):
            for key in keys:
                value = record.get(key)
                if type(value) is int or value is None:
                    continue
                number = read_whole_number(value)
                if number is not None:
                    log.add(NUMBER, f"{name}[{position}].{key} {value!r} -> {number}")
                    record[key] = number
    annotations = content["annotations"]
    if not any(annotation.get("id") is not None or "segments_info" in annotation for annotation in annotations):
        for number, annotation in enumerate(annotations, 1):
            log.add(NO_IDS, f"annotations[{number - 1}] -> id {number}")
            annotation["id"] = number


def are_whole(records: Sequence[Record], keys: Sequence[str]) -> bool:
    """Return whether every record has all keys, with whole numbers or None: most files are tested in one pass."""
    read = itemgetter(keys[0], *keys)  # of one key alone it would return no tuple
    try:
        return {*map(type, chain.from_iterable(map(read, records)))} <= {int, NoneType}
    except KeyError:
        return False


def read_whole_number(value: Any) -> int | None:
    """Return 17 for 17.0, "17" and "17.0"; None for anything that is no whole number."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, str) and WHOLE_NUMBER.fullmatch(value.strip()):
        return int(value.strip().partition(".")[0])
    return None


def cure_files(images: Sequence[Record], folder: ImageFolder, decoding: Decoding, log: CureLog) -> None:
    """Give each image the name of its file and its size, if its record has another name, or no size."""
    cure_names(images, folder, log)
    for image in images:
        if not has_size(image) and isinstance(image.get("file_name"), str) and folder.has(image["file_name"]):
            folder.is_read = True
            try:
                image["height"], image["width"] = read_size(folder.root / image["file_name"], decoding)
            except ImageError:
                continue  # the check of the files names the reason
            log.add(NO_SIZE, f"{image['file_name']}: {image['height']} x {image['width']}")


def cure_names(images: Sequence[Record], folder: ImageFolder, log: CureLog) -> None:
    """Rename images to the files that their names mean; a file that several records would share is left alone."""
    matches = {}
    for position, image in enumerate(images):
        name = image.get("file_name")
        if isinstance(name, str) and not folder.has(name) and (match := folder.find(name)) is not None:
            matches[position] = match
    if not matches:
        return
    uses = Counter(image.get("file_name") for image in images if isinstance(image.get("file_name"), str))
    uses.update(match.name for match in matches.values())
    for position, match in matches.items():
        if uses[match.name] == 1:
            log.add(match.kind, f"{images[position]['file_name']!r} -> {match.name!r}")
            images[position]["file_name"] = match.name
