"""Pascal VOC (Everingham et al., IJCV 2010): one XML file per image, splits as lists of names, any union of years.

Boxes are 1-based with the last pixel included, so pixel 1 of VOC is [0, 1) here. `difficult` objects never count in
evaluation. With masks, pixel n of SegmentationObject is the n-th object of the XML file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from xml.etree import ElementTree as xml

import numpy as np
from PIL import Image as Pillow

from lineage.data.annotations.build_index import ParsedAnnotations
from lineage.data.annotations.cures import NO_SIZE, CureLog
from lineage.data.annotations.image_folder import SUFFIXES, ImageFolder
from lineage.data.annotations.indexed_dataset import IndexedDataset
from lineage.data.annotations.open_dataset import ReadOptions, open_dataset
from lineage.data.annotations.paths import DatasetPaths
from lineage.data.annotations.validate import DatasetError
from lineage.data.formats.builder import RecordBuilder
from lineage.data.samples.image import MEGAPIXELS, Decoding, ImageError, create_decoding, read_size

CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
FLAG = re.compile(r"(.*\S)\s+(?:-1|0|1)")  # a line of a class's list
STALE_NAME = "VOC's <filename> is not the name of the image, which goes by the name in the image set"
HELP = """\
Pascal VOC is a folder VOCdevkit with VOC2007 and VOC2012 in it, each with
    Annotations/*.xml    JPEGImages/*.jpg    ImageSets/Main/trainval.txt
A copy you have:  dataset=voc07 dataset.root=DIR    DIR is VOCdevkit or the folder that holds it
The files:        lineage data prepare voc07 DIR    (voc12, voc0712)"""


@dataclass(frozen=True, slots=True)
class VocImage:
    """One image of an image set."""

    year: str  # VOC2007
    stem: str

    def path(self, devkit: Path, folder: str, suffix: str) -> Path:
        return devkit / self.year / folder / f"{self.stem}{suffix}"


@dataclass(frozen=True, slots=True)
class VocObject:
    """One object of an XML file."""

    category_id: int
    corners: tuple[float, ...]  # x1, y1, x2, y2 in continuous pixels
    difficult: bool
    truncated: bool


def load(
    *, image_sets: Sequence[str], root: str | None = None, classes: Sequence[str] | None = None,
    difficult: str = "crowd", masks: bool = False, filter_empty: bool = False, fraction: float | None = None,
    held_out: float | None = None, on_defect: str = "raise",
    pixel_range: Sequence[float] | None = None, max_megapixels: float = MEGAPIXELS, config_node: str = "dataset.train",
) -> IndexedDataset:  # fmt: skip
    """Open a union of image sets.

    image_sets: such as VOC2007/trainval
    classes: by default VOC's own
    difficult: makes a difficult object a crowd (crowd), an object like others (keep) or leaves it out (drop)
    masks: read masks too; the images are then those of ImageSets/Segmentation
    filter_empty, fraction, held_out, on_defect, config_node: see `ReadOptions`
    pixel_range, max_megapixels: see `Decoding`
    """
    options = ReadOptions(config_node, on_defect, filter_empty, fraction=fraction, held_out=held_out)
    decoding = create_decoding(pixel_range, max_megapixels)
    if root is None:
        raise DatasetError(f"dataset.root is not set.\n{HELP}")
    if difficult not in ("crowd", "keep", "drop"):
        raise DatasetError(f"{config_node}.difficult={difficult} is not a choice; use crowd, keep or drop.")
    # 1. The images of all sets.
    devkit = find_devkit(Path(root).expanduser(), image_sets)
    lists = [list_file(devkit, name, masks) for name in image_sets]
    images = [image for name, file in zip(image_sets, lists, strict=True) for image in read_image_set(name, file)]
    # 2. Every file that is read decides about the index.
    files = [*lists, *(image.path(devkit, "Annotations", ".xml") for image in images)]
    if masks:
        files += [image.path(devkit, "SegmentationObject", ".png") for image in images]
    names = tuple(classes or CLASSES)
    key = ("voc", tuple(image_sets), names, difficult, masks)
    read_files = partial(parse, devkit, images, names, difficult, masks, decoding)
    return open_dataset(DatasetPaths(files, devkit, devkit, decoding=decoding), key, read_files, options)


def find_devkit(root: Path, image_sets: Sequence[str]) -> Path:
    """Return the VOCdevkit: the root, a folder in it, or its parent if the root is one of the years."""
    years = [name.partition("/")[0] for name in image_sets]
    for folder in (root, root / "VOCdevkit", root / "data" / "VOCdevkit", root.parent):
        if all((folder / year).is_dir() for year in years):
            return folder
    raise DatasetError(f"{root}: holds no folder {' and '.join(dict.fromkeys(years))}.\n{HELP}")


def list_file(devkit: Path, image_set: str, masks: bool) -> Path:
    year, _, name = image_set.partition("/")
    return devkit / year / f"ImageSets/{'Segmentation' if masks else 'Main'}/{name}.txt"


def read_image_set(name: str, file: Path) -> list[VocImage]:
    try:
        lines = file.read_text().splitlines()
    except OSError as error:
        raise DatasetError(f"{file}: cannot be read ({error.strerror}): no set {name}.\n{HELP}") from error
    annotations = file.parents[2] / "Annotations"
    images = [VocImage(name.partition("/")[0], read_stem(line.strip(), annotations)) for line in lines if line.strip()]
    if not images:
        raise DatasetError(f"{file}: lists no image. Fetch it again, or write a name per line.")
    return images


def read_stem(line: str, annotations: Path) -> str:
    """Return the name of a line: without the flag of a class's list (-1, 0 or 1), and without an ending."""
    names = [line]
    if flag := FLAG.fullmatch(line):
        names.append(flag[1])
    for name in (*names, *(name.rpartition(".")[0] for name in names if name.lower().endswith(SUFFIXES))):
        if (annotations / f"{name}.xml").is_file():
            return name
    return names[-1]


def parse(
    devkit: Path, images: Sequence[VocImage], classes: Sequence[str], difficult: str, masks: bool, decoding: Decoding
) -> ParsedAnnotations:
    builder = RecordBuilder({i + 1: name for i, name in enumerate(classes)})
    log = CureLog()
    folders = {image.year: ImageFolder(devkit / image.year / "JPEGImages") for image in images}
    for image_id, image in zip(number_images(images), images, strict=True):
        name = f"{image.year}/JPEGImages/{image.stem}.jpg"
        file = image.path(devkit, "Annotations", ".xml")
        # 1. The XML file, and the masks and the size.
        try:
            root = xml.parse(file).getroot()
            file_name = find_image_file(image.stem, root.findtext("filename"), folders[image.year], log)
            name = f"{image.year}/JPEGImages/{file_name}"
            objects = [_parse_object(element, classes) for element in root.findall("object")]
            pixels = _read_pixels(image.path(devkit, "SegmentationObject", ".png")) if masks else None
            size = _read_size(root, devkit / name, decoding, log) if pixels is None else pixels.shape
        except (OSError, ValueError, OverflowError, ImageError, xml.ParseError) as error:
            builder.add_unreadable_image(image_id, name, f"{file}: {error}")
            continue
        # 2. Its objects, numbered from 1 in the masks.
        builder.add_image(image_id, name, size)
        for number, voc_object in enumerate(objects, 1):
            if not (voc_object.difficult and difficult == "drop"):
                is_crowd = voc_object.difficult and difficult == "crowd"
                _add_object(builder, voc_object, is_crowd, None if pixels is None else pixels == number)
    parsed = builder.finish(extra=("difficult", "truncated"))
    return replace(
        parsed, cures=log.cures(), folders=[path for folder in folders.values() for path in folder.folders()]
    )


def find_image_file(stem: str, stated: str | None, folder: ImageFolder, log: CureLog) -> str:
    """Return the name of an image's file: by the name in the image set, as other code reads VOC, else as `stated`.

    stated: the `filename` of the XML file, which tools leave behind when files are renamed, or write without an ending
    """
    official = f"{stem}.jpg"
    if folder.has(official):
        if stated and stated.strip() != official:
            log.add(STALE_NAME, f"{stem}.xml: {stated!r} -> {official!r}")
        return official
    if stated and folder.has(stated):
        return stated
    match = folder.find(stem) or (folder.find(stated) if stated else None)
    if match is None:
        return stated or official
    if stated:
        log.add(STALE_NAME, f"{stem}.xml: {stated!r} -> {match.name!r}")
    return match.name


def _add_object(builder: RecordBuilder, voc_object: VocObject, is_crowd: bool, mask: np.ndarray | None) -> None:
    """Add an object; `mask` is [h, w] bool, or None without masks."""
    flags = {"difficult": int(voc_object.difficult), "truncated": int(voc_object.truncated)}
    if mask is None:
        builder.add_object(voc_object.category_id, voc_object.corners, iscrowd=int(is_crowd), **flags)
        return
    count = len(builder.annotations)
    builder.add_mask(voc_object.category_id, mask, iscrowd=int(is_crowd), **flags)
    if len(builder.annotations) == count:  # only void pixels: a region that does not count
        builder.add_object(voc_object.category_id, voc_object.corners, iscrowd=1, **flags)
    # the box of the XML file stays: it may include areas that other objects hide
    x1, y1, x2, y2 = voc_object.corners
    builder.annotations[-1]["bbox"] = [x1, y1, x2 - x1, y2 - y1]


def _parse_object(element: xml.Element, classes: Sequence[str]) -> VocObject:
    name = element.findtext("name", "").strip()
    if name not in classes:
        raise ValueError(f"object of class {name!r}, known are {', '.join(classes)}; dataset.names=[...] names others")
    sides = [element.findtext(f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax")]
    if None in sides:
        raise ValueError(f"object {name!r} has no complete bndbox")
    x1, y1, x2, y2 = (float(side) for side in sides if side is not None)
    flags = (element.findtext(flag, "0").strip() == "1" for flag in ("difficult", "truncated"))
    return VocObject(classes.index(name) + 1, (x1 - 1, y1 - 1, x2, y2), *flags)


def _read_size(root: xml.Element, image: Path, decoding: Decoding, log: CureLog) -> tuple[int, int]:
    """Return (height, width); if the XML file has none, as some homemade ones, that of the image."""
    texts = [root.findtext(f"size/{side}") for side in ("height", "width")]
    sides = [int(float(text)) for text in texts if text]
    if len(sides) == 2 and min(sides) > 0:
        return sides[0], sides[1]
    size = read_size(image, decoding)
    log.add(NO_SIZE, f"{image.name}: {size[0]} x {size[1]}")
    return size


def _read_pixels(file: Path) -> np.ndarray:
    with Pillow.open(file) as image:
        return np.asarray(image)


def number_images(images: Sequence[VocImage]) -> list[int]:
    """Return ids: 5 for 000005 and 2008000002 for 2008_000002; if not all names are distinct numbers, 1, 2, 3, ..."""
    digits = [image.stem.replace("_", "") for image in images]
    ids = [int(text) for text in digits if text.isdigit() and len(text) < 18]
    return ids if len(set(ids)) == len(images) else list(range(1, len(images) + 1))
