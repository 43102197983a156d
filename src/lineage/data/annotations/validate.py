"""Validation of a dataset before training: one message with every kind of defect, file, id and fix.

Before training the records are checked in full, every image file must exist, and up to FILES_AT_START of them, evenly
spread, are opened: header, size and end of file. `lineage data check` decodes all of them.
"""

from __future__ import annotations

import json
import os
import shlex
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from lineage.data.annotations.cures import CureLog, cure_numbers
from lineage.data.annotations.defects import (
    CONSTANT_IMAGE,
    MISSING_FILE,
    OUTSIDE_FOLDER,
    UNUSABLE_FILE,
    Defect,
    DefectKind,
    Record,
    has_size,
    is_id,
)
from lineage.data.annotations.paths import DatasetPaths
from lineage.data.annotations.skeleton import KeypointError, count_keypoints, read_keypoints
from lineage.data.samples import image
from lineage.results.garbage_collection import pause_collection

Check = Callable[[Path, image.Size, image.Decoding], DefectKind | None]

FILES_AT_START = 5000
EXAMPLES = 5  # defects of each kind in a message
FORMAT = "COCO format is {'images': [...], 'annotations': [...], 'categories': [...]}"


class DatasetError(ValueError):
    """A dataset that cannot be used; the message names what is wrong and what to do."""


def read_coco(
    path: Path,
    advice: str,
    *,
    require_objects: bool = True,
    log: CureLog | None = None,
    parse: Callable[[bytes], Any] | None = None,
) -> dict[str, list[Record]]:
    """Read a COCO-format file; raise DatasetError, with `advice` if the file cannot be opened.

    require_objects: False for a validation split, whose annotations may be empty or, as of a test server, absent.
    log: gets the numbers that were cured, such as ids written as text
    parse: reads the content; None: `parse_json`
    """
    content = _read_json(path, advice, parse or parse_json)
    if not isinstance(content, dict):
        description = "a list, perhaps of results" if isinstance(content, list) else f"{content!r:.40}"
        raise DatasetError(f"{path}: holds {description}; annotations are expected here. {FORMAT}.")
    if not require_objects:
        content.setdefault("annotations", [])
    for name in ("images", "annotations", "categories"):
        records = content.get(name)
        if not isinstance(records, list) or not {*map(type, records)} <= {dict}:
            raise DatasetError(f"{path}: has no list `{name}`. {FORMAT}.")
        if not records and (require_objects or name != "annotations"):
            raise DatasetError(
                f"{path}: `{name}` is empty, so there is nothing to learn. Was the right split exported?"
            )
    cure_numbers(content, CureLog() if log is None else log)
    ids = [category.get("id") for category in content["categories"]]
    if not all(map(is_id, ids)) or len(set(ids)) < len(ids):
        raise DatasetError(f"{path}: category ids are {ids}. Give every category a whole number of its own.")
    for category in content["categories"]:
        keypoints = category.get("keypoints", [])
        if not isinstance(keypoints, list):
            raise DatasetError(
                f"{path}: category {category['id']} has keypoints {keypoints!r:.40}. Make that a list of their names."
            )
    try:
        read_keypoints(content["categories"], count_keypoints(content["categories"], content["annotations"]))
    except KeypointError as error:
        raise DatasetError(f"{path}: {error}.") from error
    return content


def _read_json(path: Path, advice: str, parse: Callable[[bytes], Any]) -> Any:
    try:
        with pause_collection():
            return parse(path.read_bytes())
    except FileNotFoundError as error:
        raise DatasetError(f"{path}: no such annotation file.\n{advice}") from error
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}).\n{advice}") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: is not text in UTF-8 (byte {error.start}); save it in that encoding.") from error
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path}: is not JSON ({error}).\nIt may be cut off: fetch or export it again.") from error


def parse_json(text: bytes) -> Any:
    """Return what JSON holds. Raises ValueError or RecursionError as json.loads, which reads what is rare in JSON."""
    try:
        return msgspec.json.decode(text)  # half of the time
    except (ValueError, RecursionError):  # not JSON, or NaN, a byte order mark, half of a surrogate pair, UTF-16
        return json.loads(text)


def require_file(path: Path, advice: str) -> None:
    """Raise the message of `read_coco` if an annotation file does not exist."""
    if not path.is_file():
        read_coco(path, advice)


def sample_image_files(images: Iterable[Record], count: int, paths: DatasetPaths) -> Iterator[Defect]:
    """Yield the defects that a quick check of `count` images before training finds."""
    return check_image_files(images, paths, image.inspect, find_stride(count))


def find_stride(count: int) -> int:
    """Return the distance between images that are opened before training."""
    return max(1, -(-count // FILES_AT_START))


def check_image_files(images: Iterable[Record], paths: DatasetPaths, check: Check, stride: int = 1) -> Iterator[Defect]:
    """Yield a defect for every missing image, and for every `stride`-th of the others that `check` refuses.

    check: takes a path, (height, width) and the dataset's decoding; raises ImageError, or returns another defect's kind
    """
    root = str(paths.image_folder)
    listings: dict[str, set[str]] = {}
    for position, record in enumerate(images):
        file_name = record.get("file_name")
        if not isinstance(file_name, str):
            continue  # an incomplete record, which `find_defects` reports
        kind: DefectKind | None = None
        # A name is looked up in the listing of its folder as text: joined paths take longer than that.
        parent, _, leaf = file_name.rstrip("/").rpartition("/")
        if not is_within(paths.image_folder, file_name):
            kind = OUTSIDE_FOLDER
        else:
            if parent not in listings:
                folder = os.path.join(root, parent)
                listings[parent] = set(os.listdir(folder)) if os.path.isdir(folder) else set()
            if leaf not in listings[parent]:
                kind = MISSING_FILE
        detail = ""
        if kind is None and position % stride == 0 and has_size(record):
            try:
                kind = check(Path(root, file_name), (record["height"], record["width"]), paths.decoding)
            except image.ImageError as error:
                kind, detail = UNUSABLE_FILE, str(error)
        if kind is not None:
            yield Defect(kind, name_image(record), detail or str(Path(root, file_name)), position)


def name_image(record: Record) -> str:
    """Return an image's name in a defect."""
    return f"image {record.get('id')} ({record.get('file_name')})"


def is_within(folder: Path, name: str) -> bool:
    """Return whether a file name stays inside the folder, by its text: links in the folder may lead where they like."""
    if not name.startswith("/") and ".." not in name:
        return True
    root = os.path.abspath(folder)
    return os.path.commonpath([root, os.path.normpath(os.path.join(root, name))]) == root


def decode_image(path: Path, size: image.Size, decoding: image.Decoding) -> DefectKind | None:
    """Decode an image as training does; return the defect's kind if all pixels are equal."""
    pixels = image.read(path, size, decoding)
    return CONSTANT_IMAGE if bool((pixels == pixels[:, :1, :1]).all()) else None


def check_command(source: Path, image_folder: Path) -> str:
    """Return the command that lists all defects: by file for COCO's format, by the dataset's name for others."""
    if source.suffix == ".json":
        return shlex.join(
            ["lineage", "data", "check", "--all", "--images", str(image_folder), "--annotations", str(source)]
        )
    return "lineage data check NAME --root ROOT --all    (NAME as in dataset=NAME)"


def format_defects(defects: Iterable[Defect], source: Path, examples: int = EXAMPLES) -> str:
    """Return a message by kind: how many, the first few, and what to do."""
    groups: dict[DefectKind, list[Defect]] = defaultdict(list)
    for defect in defects:
        groups[defect.kind].append(defect)
    count = sum(map(len, groups.values()))
    lines = [f"{source}: {count} defect{'s' * (count > 1)}."]
    for kind, group in groups.items():
        lines.append(f"  {kind.summary}: {len(group)}. Fix: {kind.fix}.")
        lines += [f"    {defect.record}: {defect.detail}" for defect in group[:examples]]
        if len(group) > examples:
            lines.append(f"    ... and {len(group) - examples} more")
    return "\n".join(lines)
