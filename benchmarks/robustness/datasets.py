"""Datasets for the fuzz: small ones on disk, read by `dataset=`, compared object by object with the file as it is."""

from __future__ import annotations

import io
import json
import math
import random
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import torch
from benchmarks.robustness.fuzz import Wrong
from benchmarks.robustness.mutations import damage_bytes, damage_document, damage_xml
from PIL import Image
from pycocotools import mask as coco_mask

from lineage.data.annotations.indexed_dataset import IndexedDataset
from lineage.data.formats import cityscapes, coco, voc

SIZE = (24, 32)  # height, width
SQUARE = [4, 4, 16, 4, 16, 14, 4, 14]


def save_image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    ramp = np.arange(SIZE[0] * SIZE[1] * 3).reshape(*SIZE, 3) % 251
    Image.fromarray(ramp.astype(np.uint8)).save(path)


def read_samples(dataset: IndexedDataset) -> None:
    """Read every sample, as training does, and raise Wrong for numbers that no box can have."""
    for position in range(len(dataset)):
        sample = dataset[position]
        height, width = sample.original_size
        if not bool(torch.isfinite(sample.boxes).all()):
            raise Wrong(f"image {position}: boxes {sample.boxes.tolist()}")
        if tuple(sample.image.shape[-2:]) != (height, width):
            raise Wrong(f"image {position}: pixels of {tuple(sample.image.shape)}, size {height} x {width}")
        labels = range(len(dataset.meta.classes))
        if any(label not in labels for label in sample.labels.tolist()):
            raise Wrong(f"image {position}: labels {sample.labels.tolist()}")


class Coco:
    """instances.json of three images: polygons, a crowd in RLE, and keypoints of one object."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for number in (1, 2, 3):
            save_image(folder / "images" / f"{number}.png")
        rle = {"size": list(SIZE), "counts": [100, 20, SIZE[0] * SIZE[1] - 120]}
        annotations = [
            {"id": 10 * n + k, "image_id": n, "category_id": (3, 7)[k], "bbox": [4, 4, 12, 10], "area": 120.0,
             "iscrowd": 0, "segmentation": [SQUARE]}
            for n in (1, 2, 3) for k in (0, 1)
        ]  # fmt: skip
        crowd = {"id": 99, "image_id": 3, "category_id": 3, "bbox": [4, 0, 2, 24], "area": 20, "iscrowd": 1}
        annotations.append(crowd | {"segmentation": rle})
        self.example = json.dumps({
            "images": [{"id": n, "file_name": f"{n}.png", "height": SIZE[0], "width": SIZE[1]} for n in (1, 2, 3)],
            "categories": [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}],
            "annotations": annotations,
        }).encode()  # fmt: skip

    def damage(self, chance: random.Random) -> bytes:
        return damage_document(self.example, chance)

    def read(self, data: bytes) -> None:
        (self.folder / "train.json").write_bytes(data)
        dataset = coco.load(root=str(self.folder), annotations="train.json")
        read_samples(dataset)
        compare_with_coco(dataset, json.loads(data))


def compare_with_coco(dataset: IndexedDataset, document: dict[str, Any]) -> None:
    """Raise Wrong unless the dataset has each annotation of the file once, as pycocotools would read it."""
    classes = sorted(float(category["id"]) for category in document["categories"])
    columns = dataset.columns
    images = {float(image["id"]): image for image in document["images"]}  # ids may be cured: "17", 17.0
    if len(images) != len(dataset):
        raise Wrong(f"{len(dataset)} images of {len(images)}")
    if len(columns.labels) != len(document["annotations"]):
        raise Wrong(f"{len(columns.labels)} objects of {len(document['annotations'])}")
    for position in range(len(dataset)):
        image = images[float(columns.image_ids[position])]
        height, width = columns.image_sizes[position].tolist()
        if (height, width) != SIZE:  # where the record has none, or nonsense, that of the file
            raise Wrong(f"image {image} has the size {height} x {width}")
        masks = dataset[position].masks
        pixels = None if masks is None else masks.dense().numpy()
        for index, row in enumerate(columns.rows(position)):
            annotation = document["annotations"][columns.annotation_positions[row]]
            compare_object(columns, row, annotation, classes)
            if pixels is not None and not columns.crowd[row]:
                compare_mask(pixels[index], annotation.get("segmentation"), annotation)


def compare_object(columns: Any, row: int, annotation: dict[str, Any], classes: list[Any]) -> None:
    """Raise Wrong unless an object has the box, class, crowd flag and area of its annotation."""
    x, y, w, h = map(float, annotation["bbox"])
    if not np.allclose(columns.boxes[row], np.array([x, y, x + w, y + h], np.float32), rtol=1e-6):
        raise Wrong(f"box {columns.boxes[row].tolist()} of {annotation}")
    if float(classes[columns.labels[row]]) != float(annotation["category_id"]):
        raise Wrong(f"label {columns.labels[row]} of {annotation}")
    if bool(columns.crowd[row]) != bool(float(annotation.get("iscrowd") or 0)):
        raise Wrong(f"crowd {columns.crowd[row]} of {annotation}")
    area = annotation.get("area")
    if not math.isfinite(columns.areas[row]) or (area is not None and float(area) != columns.areas[row]):
        raise Wrong(f"area {columns.areas[row]} of {annotation}")


def compare_mask(pixels: np.ndarray, segmentation: Any, annotation: dict[str, Any]) -> None:
    """Raise Wrong unless a mask [h, w] is what pycocotools decodes."""
    height, width = pixels.shape
    if not segmentation:
        expected = np.zeros((height, width))
    elif isinstance(segmentation, list):
        expected = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width)))
    else:
        is_text = isinstance(segmentation["counts"], str)
        expected = coco_mask.decode(segmentation if is_text else coco_mask.frPyObjects(segmentation, height, width))
    if not np.array_equal(pixels.astype(bool), expected.astype(bool)):
        raise Wrong(f"a mask of {int(pixels.sum())} pixels, not {int(expected.sum())}, of {annotation}")


class Voc:
    """Two images of VOC2007 with an XML file each; one of the files, or the image set, is damaged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "VOC2007"
        for name in ("000001", "000002"):
            save_image(self.folder / "JPEGImages" / f"{name}.jpg")
            self.write(f"Annotations/{name}.xml", self.annotation(name).encode())
        self.write("ImageSets/Main/trainval.txt", b"000001\n000002\n")

    def annotation(self, name: str) -> str:
        objects = "".join(
            f"<object><name>{kind}</name><truncated>0</truncated><difficult>{flag}</difficult><bndbox><xmin>{x}</xmin>"
            f"<ymin>3</ymin><xmax>{x + 9}</xmax><ymax>15</ymax></bndbox></object>"
            for kind, flag, x in (("cat", 0, 3), ("person", 1, 12))
        )
        size = f"<size><width>{SIZE[1]}</width><height>{SIZE[0]}</height><depth>3</depth></size>"
        return f"<annotation><filename>{name}.jpg</filename>{size}{objects}</annotation>"

    def write(self, name: str, data: bytes) -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_bytes(data)

    def damage(self, chance: random.Random) -> bytes:
        text = self.annotation("000001")
        kind = chance.random()
        if kind < 0.05:
            entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 9))
            return f'<!DOCTYPE a [<!ENTITY l0 "ha">{entities}]>{text}'.replace("cat", "&l8;").encode()
        if kind < 0.10:
            return ("<a>" * 100_000 + text + "</a>" * 100_000).encode()
        if kind < 0.30:
            return damage_bytes(text.encode(), chance)
        return damage_xml(text, chance)

    def read(self, data: bytes) -> None:
        self.write("Annotations/000001.xml", data)
        dataset = voc.load(root=str(self.folder.parent), image_sets=["VOC2007/trainval"])
        read_samples(dataset)
        root = ElementTree.fromstring(data)
        objects = root.findall("object")
        rows = dataset.columns.rows(0)
        if len(rows) != len(objects):
            raise Wrong(f"{len(rows)} objects of {len(objects)}")
        for row, element in zip(rows, objects, strict=True):
            sides = [float(str(element.findtext(f"bndbox/{side}"))) for side in ("xmin", "ymin", "xmax", "ymax")]
            corners = [sides[0] - 1, sides[1] - 1, *sides[2:]]
            if not np.allclose(dataset.columns.boxes[row], np.array(corners, np.float32), rtol=1e-6):
                raise Wrong(f"box {dataset.columns.boxes[row].tolist()} of {corners}")
            if voc.CLASSES[dataset.columns.labels[row]] != str(element.findtext("name")).strip():
                raise Wrong(f"label {dataset.columns.labels[row]} of {element.findtext('name')}")


class Cityscapes:
    """One image of Cityscapes with its polygons, or with its instance ids as PNG; one of the two is damaged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        save_image(folder / "leftImg8bit/train/aachen/a_leftImg8bit.png")
        document = {
            "imgHeight": SIZE[0], "imgWidth": SIZE[1],
            "objects": [
                {"label": "road", "polygon": [[0, 12], [31, 12], [31, 23], [0, 23]]},
                {"label": "car", "polygon": [[2, 2], [12, 2], [12, 10], [2, 10]]},
                {"label": "persongroup", "polygon": [[14, 3], [24, 3], [24, 12]]},
                {"label": "car", "polygon": [[14, 14], [25, 14], [25, 20], [14, 20]]},
            ],
        }  # fmt: skip
        self.polygons = json.dumps(document).encode()
        ids = cityscapes.draw_instance_ids(document, cityscapes.THINGS).astype(np.uint16)
        Image.fromarray(ids).save(folder / "ids.png")
        self.png = (folder / "ids.png").read_bytes()

    def damage(self, chance: random.Random) -> bytes:
        kind = chance.random()
        if kind < 0.15:
            return damage_bytes(self.png, chance)
        if kind < 0.3:
            return encode_random_ids(chance)
        return damage_document(self.polygons, chance)

    def read(self, data: bytes) -> None:
        truth = self.folder / "gtFine/train/aachen"
        truth.mkdir(parents=True, exist_ok=True)
        for path in truth.iterdir():
            path.unlink()
        is_png = data[1:8].count(b"PNG") or not data.lstrip().startswith(b"{")
        (truth / f"a{cityscapes.IDS if is_png else cityscapes.POLYGONS}").write_bytes(data)
        dataset = cityscapes.load(root=str(self.folder), image_set="train")
        read_samples(dataset)
        if is_png:
            ids = np.asarray(Image.open(truth / f"a{cityscapes.IDS}")).astype(np.int64)
        else:
            ids = draw_with_official_labels(json.loads(data))
        self.compare(dataset, ids)

    def compare(self, dataset: IndexedDataset, ids: np.ndarray) -> None:
        """Raise Wrong unless the objects are the instances of the eight classes, with as many pixels."""
        things = set(cityscapes.THINGS.values())
        pixels = {int(n): int((ids == n).sum()) for n in np.unique(ids) if (n if n < 1000 else n // 1000) in things}
        ours = sorted(int(area) for area in dataset.columns.areas)
        if ours != sorted(pixels.values()):
            raise Wrong(f"objects of {ours} pixels, not {sorted(pixels.values())}")


def encode_random_ids(chance: random.Random) -> bytes:
    """Return a PNG of ids in any mode and size, right and wrong ones."""
    side = chance.choice((1, SIZE[1], SIZE[1] + 1))
    ids = np.array([chance.choice((0, 7, 24, 26000, 26001, 33999, 65535)) for _ in range(SIZE[0] * side)], np.uint16)
    image = Image.fromarray(ids.reshape(SIZE[0], side))
    file = io.BytesIO()
    chance.choice((image, image, image, image.convert("L"), Image.new("RGB", SIZE[::-1]))).save(file, "png")
    return file.getvalue()


def draw_with_official_labels(document: dict[str, Any]) -> np.ndarray:
    """Draw instance ids as cityscapesscripts' json2instanceImg does."""
    from cityscapesscripts.helpers.annotation import Annotation
    from cityscapesscripts.preparation.json2instanceImg import createInstanceImage

    annotation = Annotation()
    annotation.fromJsonText(json.dumps(document))
    return np.asarray(createInstanceImage(annotation, "ids"), np.int64)
