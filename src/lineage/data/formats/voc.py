"""Pascal VOC (Everingham et al., IJCV 2010): one XML file per image, splits as lists of names, any union of years.

Boxes are 1-based with the last pixel included, so pixel 1 of VOC is [0, 1) here. `difficult` objects never count in
evaluation. Where masks are asked for, pixel n of SegmentationObject is the n-th object of the XML file.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as xml

import numpy as np
from PIL import Image as Pillow

from lineage.data.annotations import validate
from lineage.data.annotations.indexed_dataset import Annotated, Files, Read, annotated
from lineage.data.formats.builder import Records, extent

CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
HELP = """\
Pascal VOC is a folder VOCdevkit with VOC2007 and VOC2012 in it, each with
    Annotations/*.xml    JPEGImages/*.jpg    ImageSets/Main/trainval.txt
A copy you have:  dataset=voc07 dataset.root=DIR    DIR is VOCdevkit or the folder that holds it
The files:        lineage data prepare voc07 DIR    (voc12, voc0712)"""


class Listed(NamedTuple):
    """One image of a split."""

    year: str  # VOC2007
    stem: str

    def file(self, devkit: Path, folder: str, ending: str) -> Path:
        return devkit / self.year / folder / f"{self.stem}{ending}"


def load(
    *, sets: Sequence[str], root: str | None = None, classes: Sequence[str] | None = None, difficult: str = "crowd",
    masks: bool = False, skip_empty: bool = False, on_defect: str = "raise", split: str = "dataset.train",
) -> Annotated:  # fmt: skip
    """`sets` are like VOC2007/trainval, `classes` by default VOC's own. A difficult object is a crowd, an object like
    others (keep) or left out (drop).

    With `masks` the images are those of ImageSets/Segmentation.
    """
    if root is None:
        raise validate.DatasetError(f"dataset.root is not set.\n{HELP}")
    if difficult not in ("crowd", "keep", "drop"):
        raise validate.DatasetError(f"{split}.difficult={difficult} is not a choice; use crowd, keep or drop.")
    devkit = found(Path(root).expanduser(), sets)
    lists = [devkit / one.partition("/")[0] / _list(one.partition("/")[2], masks) for one in sets]
    images = [one for name, file in zip(sets, lists, strict=True) for one in listed(name, file)]
    sources = [*lists, *(one.file(devkit, "Annotations", ".xml") for one in images)]
    if masks:
        sources += [one.file(devkit, "SegmentationObject", ".png") for one in images]
    files = Files(sources, devkit, devkit, split)
    names = tuple(classes or CLASSES)
    options = ("voc", tuple(sets), names, difficult, masks)
    reading = partial(read, devkit, images, names, difficult, masks)
    return annotated(files, options, reading, skip_empty, on_defect)


def found(root: Path, sets: Sequence[str]) -> Path:
    """The VOCdevkit: the root, in the root, or the root's parent if the root is one of the years."""
    years = [one.partition("/")[0] for one in sets]
    for place in (root, root / "VOCdevkit", root / "data" / "VOCdevkit", root.parent):
        if all((place / year).is_dir() for year in years):
            return place
    raise validate.DatasetError(f"{root}: holds no folder {' and '.join(dict.fromkeys(years))}.\n{HELP}")


def _list(name: str, masks: bool) -> str:
    return f"ImageSets/{'Segmentation' if masks else 'Main'}/{name}.txt"


def listed(name: str, file: Path) -> list[Listed]:
    try:
        lines = file.read_text().splitlines()
    except OSError as error:
        raise validate.DatasetError(f"{file}: cannot be read ({error.strerror}): no set {name}.\n{HELP}") from error
    images = [Listed(name.partition("/")[0], line.split()[0]) for line in lines if line.strip()]
    if not images:
        raise validate.DatasetError(f"{file}: lists no image. Fetch it again, or write a name per line.")
    return images


def read(devkit: Path, images: Sequence[Listed], classes: Sequence[str], difficult: str, masks: bool) -> Read:
    records = Records({i + 1: name for i, name in enumerate(classes)})
    for number, one in zip(numbers(images), images, strict=True):
        name = f"{one.year}/JPEGImages/{one.stem}.jpg"
        try:
            root = xml.parse(one.file(devkit, "Annotations", ".xml")).getroot()
            name = f"{one.year}/JPEGImages/{root.findtext('filename') or one.stem + '.jpg'}"
            objects = [_object(thing, classes) for thing in root.findall("object")]
            pixels = _pixels(one.file(devkit, "SegmentationObject", ".png")) if masks else None
            size = _size(root, devkit / name) if pixels is None else pixels.shape
        except (OSError, ValueError, xml.ParseError) as error:
            records.unusable(number, name, f"{one.file(devkit, 'Annotations', '.xml')}: {error}")
            continue
        records.image(number, name, size)
        for place, thing in enumerate(objects, 1):
            _add(records, thing, difficult, None if pixels is None else pixels == place)
    return records.finish(extra=("difficult", "truncated"))


class Thing(NamedTuple):
    category: int
    corners: tuple[float, ...]
    difficult: bool
    truncated: bool


def _add(records: Records, thing: Thing, difficult: str, inside: np.ndarray | None) -> None:
    if thing.difficult and difficult == "drop":
        return
    flags = {"difficult": int(thing.difficult), "truncated": int(thing.truncated)}
    crowd = int(thing.difficult and difficult == "crowd")
    if inside is None:
        records.add(thing.category, thing.corners, iscrowd=crowd, **flags)
    else:  # the box of the XML file stays: it may include parts that others hide
        x1, y1, x2, y2 = thing.corners
        box = [x1, y1, x2 - x1, y2 - y1]
        before = len(records.annotations)
        records.mask(thing.category, inside, iscrowd=crowd, **flags)
        if len(records.annotations) == before:
            records.add(thing.category, thing.corners, iscrowd=1, **flags)  # only void pixels: a region not to count
        records.annotations[-1]["bbox"] = box


def _object(thing: xml.Element, classes: Sequence[str]) -> Thing:
    name = thing.findtext("name", "").strip()
    if name not in classes:
        raise ValueError(f"object of class {name!r}, known are {', '.join(classes)}; dataset.names=[...] names others")
    sides = [thing.findtext(f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax")]
    if None in sides:
        raise ValueError(f"object {name!r} has no complete bndbox")
    x1, y1, x2, y2 = (float(side) for side in sides if side is not None)
    flags = (thing.findtext(flag, "0").strip() == "1" for flag in ("difficult", "truncated"))
    return Thing(classes.index(name) + 1, (x1 - 1, y1 - 1, x2, y2), *flags)


def _size(root: xml.Element, image: Path) -> tuple[int, int]:
    """(height, width), from the image itself where the file does not say, as in some homemade ones."""
    sides = [root.findtext(f"size/{side}") for side in ("height", "width")]
    known = [int(float(side)) for side in sides if side]
    return (known[0], known[1]) if len(known) == 2 and min(known) > 0 else extent(image)


def _pixels(file: Path) -> np.ndarray:
    with Pillow.open(file) as image:
        return np.asarray(image)


def numbers(images: Sequence[Listed]) -> list[int]:
    """000005 is image 5 and 2008_000002 image 2008000002; where names are no numbers they are counted."""
    digits = [one.stem.replace("_", "") for one in images]
    found = [int(one) for one in digits if one.isdigit() and len(one) < 18]
    return found if len(set(found)) == len(images) else list(range(1, len(images) + 1))
