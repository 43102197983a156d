"""VOC's XML files in any folders: beside the images, or in Annotations/ with the images in JPEGImages/ or images/.

Splits are those of ImageSets/Main, else those that folders name. Masks come from SegmentationObject/, whose n-th number
is the n-th object of the XML file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as xml

import numpy as np
from PIL import Image as Pillow
from pycocotools import mask as rle

from lineage.data.annotations.image_folder import ImageFolder
from lineage.data.convert.labelled import Corners, LabelledImage, LabelledObject, Reading
from lineage.data.convert.split_names import find_split

IMAGE_FOLDERS = ("", "../JPEGImages", "../images", "../Images", "..", "JPEGImages", "images")  # from an XML file
SIDES = ("xmin", "ymin", "xmax", "ymax")


def is_layout(folder: Path) -> bool:
    """Return whether a folder holds an XML file of VOC's kind."""
    return any(True for _ in find_files(folder, 20))


def find_files(folder: Path, most: int | None = None) -> Iterator[tuple[Path, xml.Element | None]]:
    """Yield the XML files of annotations below a folder with their roots; None as the root of a file that is no XML."""
    for path in sorted(folder.rglob("*.xml"))[:most]:
        try:
            root = xml.parse(path).getroot()
        except (OSError, ValueError, xml.ParseError):
            yield path, None
            continue
        if root.tag == "annotation":
            yield path, root


def read(folder: Path) -> Reading:
    """Read all XML files below a folder."""
    reading = Reading()
    sets = read_image_sets(folder)
    for file, root in find_files(folder):
        if root is None:
            reading.add_problem(file, "is no XML")
            continue
        path = find_image(file, (root.findtext("filename") or "").strip())
        if path is None:
            reading.add_problem(
                file, f"its image {root.findtext('filename')!r} is neither beside it nor in JPEGImages/"
            )
            continue
        if (size := reading.measure(path)) is not None:
            split = sets.get(file.stem) or find_split(file.relative_to(folder).parts[:-1])
            reading.images.append(LabelledImage(path, size, read_objects(root, size, file, reading), split))
    return reading


def read_image_sets(folder: Path) -> dict[str, str]:
    """Return the split of each name in ImageSets/Main/{train,val,test}.txt."""
    splits: dict[str, str] = {}
    for split in ("test", "val", "train"):
        for file in sorted(folder.glob(f"**/ImageSets/Main/{split}.txt")):
            splits |= {line.split()[0]: split for line in file.read_text(errors="replace").splitlines() if line.strip()}
    return splits


def find_image(file: Path, stated: str) -> Path | None:
    for place in IMAGE_FOLDERS:
        listing = ImageFolder(file.parent / place)
        for name in (stated.replace("\\", "/").rpartition("/")[2], file.stem):
            if name and (match := listing.find(name)):
                return (file.parent / place / match.name).resolve()
    return None


def read_objects(root: xml.Element, size: tuple[int, int], file: Path, reading: Reading) -> list[LabelledObject]:
    """Return the objects of a file. VOC counts pixels from 1, the last included."""
    masks = read_masks(file, size, reading)
    objects = list[LabelledObject]()
    for number, element in enumerate(root.findall("object"), 1):
        place = f"{file}, object {number}"
        try:
            x1, y1, x2, y2 = (float(element.findtext(f"bndbox/{side}") or math.nan) for side in SIDES)
        except ValueError as error:
            reading.add_problem(place, str(error))
            continue
        name = (element.findtext("name") or "").strip()
        corners = (x1 - 1, y1 - 1, x2, y2)
        if not name:
            reading.add_problem(place, "has no name")
        elif not all(math.isfinite(value) for value in corners):
            reading.add_problem(place, f"has no complete bndbox of {', '.join(SIDES)}")
        else:
            code = None if masks is None else encode(masks == number)
            reading.add_object(objects, LabelledObject(name, pad(corners), rle=code), size, place)
    return objects


def pad(corners: Corners) -> Corners:
    """Return corners of a file that counts from 0: its -1 becomes 0."""
    return max(corners[0], 0.0), max(corners[1], 0.0), corners[2], corners[3]


def read_masks(file: Path, size: tuple[int, int], reading: Reading) -> np.ndarray | None:
    """Return [h, w] numbers of objects; None without such an image."""
    path = file.parent.parent / "SegmentationObject" / f"{file.stem}.png"
    if not path.is_file():
        return None
    try:
        with Pillow.open(path) as image:
            numbers = np.asarray(image)
    except (OSError, SyntaxError, ValueError) as error:
        reading.add_problem(path, str(error))
        return None
    if numbers.shape != size:
        reading.add_problem(path, f"is no mask of {size[1]} x {size[0]} with one number per pixel")
        return None
    return numbers


def encode(mask: np.ndarray) -> dict[str, object] | None:
    """Return run lengths of [h, w] bool; None for an empty mask."""
    if not mask.any():
        return None
    code = rle.encode(np.asfortranarray(mask, np.uint8))
    return {"size": list(code["size"]), "counts": code["counts"].decode()}
