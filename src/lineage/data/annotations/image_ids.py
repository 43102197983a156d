"""Image ids of pictures: those of an annotation file, the numbers that are the names of the files, or 1, 2, 3, ..."""

from __future__ import annotations

import os
import shlex
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lineage.data.annotations.defects import has_size, is_id
from lineage.data.annotations.validate import DatasetError, read_coco
from lineage.data.samples.image import Size
from lineage.data.samples.metadata import DatasetMeta

Image = dict[str, Any]  # its record in a COCO file
ByParts = dict[tuple[str, ...], Image]
ByLeaf = dict[str, list[Image]]

ADVICE = "--annotations is the COCO file whose image ids the results get."


@dataclass(frozen=True, slots=True)
class ImageIds:
    """The image ids of pictures.

    by_name: ids by the names of files
    first_free: the first id for images without a name in `by_name`; no id from here on belongs to another image
    sizes: annotated (height, width) by the names of files
    """

    by_name: Mapping[str, int] = field(default_factory=dict)
    first_free: int = 1
    sizes: Mapping[str, Size] = field(default_factory=dict)


def number_files(files: Sequence[tuple[Path, str]]) -> ImageIds:
    """Return the numbers that all names are, as COCO's 000000000139.jpg; if not all are, or two are equal, none."""
    stems = {name: Path(name).stem for _, name in files}
    ids = {name: int(stem) for name, stem in stems.items() if stem.isascii() and stem.isdigit()}
    if len({*ids.values()}) < len(stems):
        return ImageIds()
    return ImageIds(ids, max(ids.values(), default=0) + 1)


def match_annotations(files: Sequence[tuple[Path, str]], annotations: Path, meta: DatasetMeta) -> ImageIds:
    """Return the image ids of a COCO or LVIS file. Raise DatasetError if they or its classes do not fit.

    A file is the image whose name has the most folders in common with the end of its path: `val/1.jpg` for
    `/data/val/1.jpg`, before `1.jpg`. If there is none, it is the only image that has its name in another folder.
    """
    document = read_coco(annotations, ADVICE, require_objects=False)
    check_categories(document["categories"], annotations, meta)
    # 1. Find the image of each file.
    images, leaves = index_by_name(document["images"], annotations)
    files_of: dict[int, list[Path]] = defaultdict(list)  # by image id
    matches: dict[str, Image] = {}
    for path, name in files:
        image = find_image(path, images, leaves)
        if image is not None:
            matches[name] = image
            files_of[image["id"]].append(path)
    # 2. Refuse images with two files, and files without an image.
    for image in matches.values():
        if len(files_of[image["id"]]) > 1:
            first, second, *_ = files_of[image["id"]]
            raise DatasetError(f"{first} and {second}: both are {read_name(image)} of {annotations}. Predict on the "
                              "images of that file alone.")  # fmt: skip
    if files and not matches:
        raise DatasetError(f"{annotations}: has none of the pictures; its images have names such as "
                          f"{read_name(document['images'][0])}, the pictures {files[0][1]}.")  # fmt: skip
    return ImageIds(
        by_name={name: image["id"] for name, image in matches.items()},
        first_free=max(0, max(image["id"] for image in images.values())) + 1,
        sizes={name: (image["height"], image["width"]) for name, image in matches.items() if has_size(image)},
    )


def check_categories(categories: Sequence[Mapping[str, Any]], annotations: Path, meta: DatasetMeta) -> None:
    """Raise DatasetError if a class of the model has another id in an annotation file."""
    ids = defaultdict(set)
    for category in categories:
        ids[category.get("name")].add(category["id"])
    for name, number in zip(meta.classes, meta.category_ids, strict=True):
        if name in ids and number not in ids[name]:
            raise DatasetError(
                f"{annotations}: the category {name} has the id {min(ids[name])} there, {number} in this model's "
                "results. If its classes are those of the file in the order of their ids, add --classes "
                f"{shlex.quote(str(annotations))}."
            )


def index_by_name(records: Sequence[Image], annotations: Path) -> tuple[ByParts, ByLeaf]:
    """Return the images by the parts of their names, and by the last part. Raise DatasetError if two are equal."""
    images: ByParts = {}
    leaves: ByLeaf = defaultdict(list)
    for image in records:
        parts = _split(read_name(image))
        if not is_id(image.get("id")) or (parts in images and images[parts]["id"] != image["id"]):
            raise DatasetError(f"{annotations}: {read_name(image)} has the id {image.get('id')!r}; its images need ids "
                              "that are whole numbers, one for each name.")  # fmt: skip
        images[parts] = image
        leaves[parts[-1]].append(image)
    return images, leaves


def find_image(path: Path, images: ByParts, leaves: ByLeaf) -> Image | None:
    """Return the image of a file: by the longest end of its path in `images`, else by the only one in `leaves`."""
    parts = _split(os.path.abspath(path))
    for start in range(len(parts)):
        if parts[start:] in images:
            return images[parts[start:]]
    namesakes = leaves.get(parts[-1], ())
    return namesakes[0] if len(namesakes) == 1 else None


def read_name(image: Mapping[str, Any]) -> str:
    """Return the name of an image's file; that of LVIS is in its address: `val2017/000000000139.jpg`."""
    name, address = image.get("file_name"), image.get("coco_url")
    if isinstance(address, str) and address and (not name or "neg_category_ids" in image):
        name = "/".join(address.split("/")[-2:])  # LVIS v0.5 also has a file_name, but that is of COCO 2014
    if isinstance(name, str) and _split(name):
        return name
    raise DatasetError(f"image {image.get('id')} of the annotations has no file_name, which its picture is found by")


def _split(name: str) -> tuple[str, ...]:
    """Return the folders and the name of a file; annotation tools of Windows write back slashes."""
    return tuple(part for part in name.replace("\\", "/").split("/") if part not in ("", "."))
