"""The Pascal VOC layout: VOCdevkit/VOC2012 with JPEGImages, Annotations, SegmentationObject/Class and ImageSets.

Boxes are 1-based with the last pixel included. Pixel n of SegmentationObject is the n-th object of the XML file; a
crowd is a `difficult` object, which evaluation ignores, and void (255) in both segmentations.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias
from xml.etree import ElementTree as xml

import numpy as np
from PIL import Image

from lineage.data.export.items import Item, Record, decode_mask, iterate_items, save_image
from lineage.data.samples.dataset import Dataset
from lineage.data.samples.metadata import DatasetMeta

Annotations: TypeAlias = dict[str, list[Record]]  # by the name of the image, without suffix
VOID = 255


def write(dataset: Dataset, root: Path, split: str, suffix: str = "jpg") -> Path:
    """Write the dataset and return the folder of its XML files; `suffix` is that of the images: jpg or png."""
    folder = root / "VOCdevkit" / "VOC2012"
    annotations: Annotations = {}
    labels = {category_id: label for label, category_id in enumerate(dataset.meta.category_ids)}
    for item in iterate_items(dataset):
        stem = f"{split}_{item.record['id']:06d}"
        save_image(item.image, folder / "JPEGImages" / f"{stem}.{suffix}")
        objects, classes = draw_segmentations(item, labels)
        save_image(apply_palette(objects), folder / "SegmentationObject" / f"{stem}.png")
        save_image(apply_palette(classes), folder / "SegmentationClass" / f"{stem}.png")
        write_text(folder / "Annotations" / f"{stem}.xml", format_xml(item, f"{stem}.{suffix}", dataset.meta))
        annotations[stem] = item.annotations
    write_image_sets(folder / "ImageSets", split, annotations, dataset.meta)
    return folder / "Annotations"


def draw_segmentations(item: Item, labels: dict[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return [h, w] uint8 the number of the object, and its label + 1; 0 is background."""
    objects = np.zeros(item.size, np.uint8)
    classes = objects.copy()
    for number, annotation in enumerate(item.annotations, 1):
        mask = decode_mask(annotation, item.size)
        objects[mask] = VOID if annotation["iscrowd"] else number
        classes[mask] = VOID if annotation["iscrowd"] else labels[annotation["category_id"]] + 1
    return objects, classes


def apply_palette(numbers: np.ndarray) -> Image.Image:
    image = Image.fromarray(numbers).convert("P")
    image.putpalette(palette().tobytes())
    return image


def palette() -> np.ndarray:
    """Return VOC's palette [256, 3] uint8: the bits of the number, spread over the channels from the highest bit."""
    number = np.arange(256)
    colours = np.zeros((256, 3), int)
    for digit in range(8):
        for channel in range(3):
            colours[:, channel] |= (number >> (3 * digit + channel) & 1) << (7 - digit)
    return colours.astype(np.uint8)


def format_xml(item: Item, name: str, meta: DatasetMeta) -> str:
    """Return the XML file of an image."""
    root = xml.Element("annotation")
    for tag, value in (("folder", "VOC2012"), ("filename", name)):
        xml.SubElement(root, tag).text = value
    height, width = item.size
    add_nested(root, "size", {"width": width, "height": height, "depth": 3})
    xml.SubElement(root, "segmented").text = "1"
    for annotation in item.annotations:
        x, y, w, h = annotation["bbox"]
        is_truncated = x <= 0 or y <= 0 or x + w >= width or y + h >= height
        element = add_nested(root, "object", {
            "name": meta.classes[meta.category_ids.index(annotation["category_id"])], "pose": "Unspecified",
            "truncated": int(is_truncated), "difficult": int(annotation["iscrowd"]), "occluded": 0,
        })  # fmt: skip
        corners = {"xmin": x + 1, "ymin": y + 1, "xmax": x + w, "ymax": y + h}
        add_nested(element, "bndbox", {side: round(value) for side, value in corners.items()})
    xml.indent(root)
    return xml.tostring(root, encoding="unicode")


def add_nested(parent: xml.Element, tag: str, values: dict[str, object]) -> xml.Element:
    """Add an element with a child for each value, and return it."""
    element = xml.SubElement(parent, tag)
    for name, value in values.items():
        xml.SubElement(element, name).text = str(value)
    return element


def write_image_sets(folder: Path, split: str, annotations: Annotations, meta: DatasetMeta) -> None:
    """Write the list of the split, and for each class: 1 present, 0 only difficult ones, -1 absent."""
    stems = "".join(f"{stem}\n" for stem in annotations)
    write_text(folder / "Main" / f"{split}.txt", stems)
    write_text(folder / "Segmentation" / f"{split}.txt", stems)
    for category_id, name in zip(meta.category_ids, meta.classes, strict=True):
        lines = (f"{stem} {presence(records, category_id):2d}\n" for stem, records in annotations.items())
        write_text(folder / "Main" / f"{name}_{split}.txt", "".join(lines))


def presence(annotations: list[Record], category_id: int) -> int:
    crowds = [annotation["iscrowd"] for annotation in annotations if annotation["category_id"] == category_id]
    if not crowds:
        return -1
    return 0 if all(crowds) else 1


def write_text(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
