"""Look at a dataset before anything is trained on it: one message with every kind of defect, file, id and fix.

Before training the records are checked in full, every image file must exist, and up to FILES_AT_START of them, evenly
spread, are opened: header, size and end of file. `lineage data check` decodes all of them.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lineage.data.annotations.defects import MISSING, NO_AREA, UNUSABLE, Defect, Kind, Record, find, sized, whole
from lineage.data.samples import image

log = logging.getLogger(__name__)

FILES_AT_START = 5000
FEW = 1e-4  # share of boxes without area that is left out with a warning: COCO train2017 itself has two
SHOWN = 5
FORMAT = "COCO format is {'images': [...], 'annotations': [...], 'categories': [...]}"


class DatasetError(ValueError):
    """A dataset that cannot be used; the message is written for people."""


def read(path: Path, advice: str) -> dict[str, list[Record]]:
    """The three lists of a COCO-format file."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise DatasetError(f"{path}: no such annotation file.\n{advice}") from error
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}).\n{advice}") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: is not JSON ({error}).\nIt may be cut off: fetch or export it again.") from error
    if not isinstance(content, dict):
        held = "a list, perhaps of results" if isinstance(content, list) else f"{content!r:.40}"
        raise DatasetError(f"{path}: holds {held}; annotations are expected here. {FORMAT}.")
    for name in ("images", "annotations", "categories"):
        if not isinstance(content.get(name), list) or not all(isinstance(one, dict) for one in content[name]):
            raise DatasetError(f"{path}: has no list `{name}`. {FORMAT}.")
        if not content[name]:
            raise DatasetError(
                f"{path}: `{name}` is empty, so there is nothing to learn. Was the right split exported?"
            )
    ids = [one.get("id") for one in content["categories"]]
    if not all(map(whole, ids)) or len(set(ids)) < len(ids):
        raise DatasetError(f"{path}: category ids are {ids}. Give every category a whole number of its own.")
    for one in content["categories"]:
        if not isinstance(one.get("keypoints", []), list):
            raise DatasetError(
                f"{path}: category {one['id']} has keypoints {one['keypoints']!r:.40}. Make that a list of their names."
            )
    return content


def exists(path: Path, advice: str) -> None:
    """An annotation file must be there; else the message of `read`."""
    if not path.is_file():
        read(path, advice)


def sampled(images: Iterable[Record], count: int, folder: Path) -> Iterator[Defect]:
    """The quick look before training at `count` images."""
    return files(images, folder, image.inspect, stride=max(1, -(-count // FILES_AT_START)))


def files(
    images: Iterable[Record], folder: Path, look: Callable[[Path, image.Size], Any], stride: int = 1
) -> Iterator[Defect]:
    """Every image must exist, and every `stride`-th must please `look`."""
    listed: dict[Path, set[str]] = {}
    for index, record in enumerate(images):
        if not isinstance(record.get("file_name"), str):
            continue  # an incomplete record, which `find` names
        path = folder / record["file_name"]
        who = f"image {record.get('id')} ({record['file_name']})"
        if path.parent not in listed:
            listed[path.parent] = set(os.listdir(path.parent)) if path.parent.is_dir() else set()
        if path.name not in listed[path.parent]:
            yield Defect(MISSING, who, str(path), index)
        elif index % stride == 0 and sized(record):
            try:
                look(path, (record["height"], record["width"]))
            except image.ImageError as error:
                yield Defect(UNUSABLE, who, str(error), index)


def settle(defects: Sequence[Defect], file: Path, folder: Path, on_defect: str, split: str, annotations: int) -> None:
    """Raise, or say what is left out."""
    if on_defect not in ("raise", "drop"):
        raise DatasetError(f"{split}.on_defect={on_defect} is not a choice; use raise or drop.")
    if not defects:
        return
    few = len(defects) <= FEW * annotations and all(defect.kind == NO_AREA for defect in defects)
    if on_defect == "drop" or few:
        log.warning("%s\nThese are left out, boxes that reach outside are clipped.", report(defects, file))
        return
    raise DatasetError(
        f"{report(defects, file)}\nList all of them:    {_listing(file, folder)}\n"
        f"Train without them:  {split}.on_defect=drop"
    )


def _listing(file: Path, folder: Path) -> str:
    """The command that checks everything: by file in COCO's format, by the dataset's name in others."""
    if file.suffix == ".json":
        return f"lineage data check --images {folder} --annotations {file}"
    return "lineage data check NAME --root ROOT    (NAME as in dataset=NAME)"


def report(defects: Iterable[Defect], file: Path, shown: int = SHOWN) -> str:
    """Grouped by kind: how many, the first few, and what to do."""
    groups: dict[Kind, list[Defect]] = defaultdict(list)
    for defect in defects:
        groups[defect.kind].append(defect)
    count = sum(map(len, groups.values()))
    lines = [f"{file}: {count} defect{'s' * (count > 1)}."]
    for kind, group in groups.items():
        lines.append(f"  {kind.what}: {len(group)}. Fix: {kind.fix}.")
        lines += [f"    {one.who}: {one.detail}" for one in group[:shown]]
        if len(group) > shown:
            lines.append(f"    ... and {len(group) - shown} more")
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    """`lineage data check`: every defect, exit code 1 if there is any."""
    from rich.console import Console
    from rich.progress import track

    parser = argparse.ArgumentParser(
        prog="lineage data check", description="find every defect of a COCO-format dataset"
    )
    parser.add_argument("--annotations", type=Path, required=True, help="the COCO-format JSON file")
    parser.add_argument("--images", type=Path, help="folder of the images; default: the folder of the JSON file")
    chosen = parser.parse_args(argv)
    folder = chosen.images or chosen.annotations.parent
    try:
        content = read(chosen.annotations, "Name an existing file after --annotations.")
    except DatasetError as error:
        print(error)
        return 1
    if content["images"] and not any(_exists(folder, record) for record in content["images"][:SHOWN]):
        name = content["images"][0].get("file_name")
        print(f"{folder}: holds none of the images, such as {name}. Name their folder after --images.")
        return 1
    seen = track(content["images"], description="decoding", transient=True, disable=not sys.stderr.isatty(),
                 console=Console(stderr=True))  # fmt: skip
    defects = [*find(content), *files(seen, folder, image.read)]
    if defects:
        print(report(defects, chosen.annotations, shown=len(defects)))
        return 1
    counts = ", ".join(f"{len(content[name])} {name}" for name in ("images", "annotations", "categories"))
    print(f"{chosen.annotations}: no defects. {counts}.")
    return 0


def _exists(folder: Path, record: Record) -> bool:
    return isinstance(record.get("file_name"), str) and (folder / record["file_name"]).is_file()
