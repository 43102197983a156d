"""The Pascal VOC layout: VOCdevkit/VOC2012 with JPEGImages, Annotations, SegmentationObject/Class and ImageSets.

Boxes are 1-based with the last pixel included. Pixel n of SegmentationObject is the n-th object of the XML file; a
crowd is a `difficult` object, which evaluation ignores, and void (255) in both segmentations.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias
from xml.etree import ElementTree as xml

import numpy as np
from PIL import Image

from lineage.data.export import items as source
from lineage.data.export.items import Item
from lineage.data.samples.dataset import Dataset

Written: TypeAlias = dict[str, list[dict[str, Any]]]  # name without suffix -> annotations
VOID = 255


def write(dataset: Dataset, root: Path, split: str, form: str = "jpg") -> Path:
    folder = root / "VOCdevkit" / "VOC2012"
    written: Written = {}
    labels = {category: label for label, category in enumerate(dataset.meta.category_ids)}
    for item in source.items(dataset):
        stem = f"{split}_{item.record['id']:06d}"
        source.save(item.image, folder / "JPEGImages" / f"{stem}.{form}")
        objects, kinds = segmentations(item, labels)
        source.save(coloured(objects), folder / "SegmentationObject" / f"{stem}.png")
        source.save(coloured(kinds), folder / "SegmentationClass" / f"{stem}.png")
        text(folder / "Annotations" / f"{stem}.xml", described(item, f"{stem}.{form}", dataset))
        written[stem] = item.annotations
    lists(folder / "ImageSets", split, written, dataset)
    return folder / "Annotations"


def segmentations(item: Item, labels: dict[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """[h, w] uint8 number of the object and label + 1; 0 is background."""
    objects = np.zeros((item.record["height"], item.record["width"]), np.uint8)
    kinds = objects.copy()
    for number, one in enumerate(item.annotations, 1):
        inside = source.mask(one, item.record)
        objects[inside] = VOID if one["iscrowd"] else number
        kinds[inside] = VOID if one["iscrowd"] else labels[one["category_id"]] + 1
    return objects, kinds


def coloured(numbers: np.ndarray) -> Image.Image:
    image = Image.fromarray(numbers).convert("P")
    image.putpalette(palette().tobytes())
    return image


def palette() -> np.ndarray:
    """[256, 3] uint8, VOC's own: the bits of the number, spread over the channels from the highest bit down."""
    number = np.arange(256)
    colours = np.zeros((256, 3), int)
    for place in range(8):
        for channel in range(3):
            colours[:, channel] |= (number >> (3 * place + channel) & 1) << (7 - place)
    return colours.astype(np.uint8)


def described(item: Item, name: str, dataset: Dataset) -> str:
    root = xml.Element("annotation")
    for tag, value in (("folder", "VOC2012"), ("filename", name)):
        xml.SubElement(root, tag).text = value
    height, width = item.record["height"], item.record["width"]
    nested(root, "size", {"width": width, "height": height, "depth": 3})
    xml.SubElement(root, "segmented").text = "1"
    for one in item.annotations:
        x, y, w, h = one["bbox"]
        truncated = x <= 0 or y <= 0 or x + w >= width or y + h >= height
        thing = nested(root, "object", {
            "name": dataset.meta.classes[dataset.meta.category_ids.index(one["category_id"])], "pose": "Unspecified",
            "truncated": int(truncated), "difficult": int(one["iscrowd"]), "occluded": 0,
        })  # fmt: skip
        corners = {"xmin": x + 1, "ymin": y + 1, "xmax": x + w, "ymax": y + h}
        nested(thing, "bndbox", {side: round(value) for side, value in corners.items()})
    xml.indent(root)
    return xml.tostring(root, encoding="unicode")


def nested(parent: xml.Element, tag: str, values: dict[str, object]) -> xml.Element:
    element = xml.SubElement(parent, tag)
    for name, value in values.items():
        xml.SubElement(element, name).text = str(value)
    return element


def lists(folder: Path, split: str, written: Written, dataset: Dataset) -> None:
    """Which images make the split, and per class: 1 present, 0 only difficult ones, -1 absent."""
    stems = "".join(f"{stem}\n" for stem in written)
    text(folder / "Main" / f"{split}.txt", stems)
    text(folder / "Segmentation" / f"{split}.txt", stems)
    for category, name in zip(dataset.meta.category_ids, dataset.meta.classes, strict=True):
        lines = (f"{stem} {presence(annotations, category):2d}\n" for stem, annotations in written.items())
        text(folder / "Main" / f"{name}_{split}.txt", "".join(lines))


def presence(annotations: list[dict[str, Any]], category: int) -> int:
    found = [one["iscrowd"] for one in annotations if one["category_id"] == category]
    if not found:
        return -1
    return 0 if all(found) else 1


def text(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
