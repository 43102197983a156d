"""The numbers that real files are known to have, loaded by our own readers. Skipped where the files are not."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as rle

from lineage.data.formats import coco, deepfashion2, lvis, panoptic, penn_fudan, voc


@pytest.mark.parametrize(("part", "images", "objects", "classes", "crowds", "persons"),
                         [("train", 80, 739, 80, 8, 172), ("val", 79, 624, 78, 5, 118)])  # fmt: skip
def test_coco_mini(
    coco_mini: Path, part: str, images: int, objects: int, classes: int, crowds: int, persons: int
) -> None:
    folder, annotations = f"{part}2017", f"annotations/instances_{part}2017.json"
    data = coco.load(root=str(coco_mini), images=folder, annotations=annotations)
    assert (len(data), len(data.columns.labels)) == (images, objects)
    assert len(np.unique(data.columns.labels)) == classes
    assert data.columns.crowd.sum() == crowds
    people = coco.load(root=str(coco_mini), images=folder, annotations=f"annotations/person_keypoints_{part}2017.json")
    assert len(people.columns.labels) == persons
    assert len(people.meta.keypoints) == 17
    few = coco.load(
        root=str(coco_mini), images=folder, annotations=f"annotations/person_keypoints_{part}2017.json",
        filter_empty=True, min_keypoints=1,
    )  # fmt: skip
    expected = {
        one["image_id"] for one in people.ground_truth()["annotations"] if one["num_keypoints"] and not one["iscrowd"]
    }
    assert set(few.ids.tolist()) == expected


def test_lvis(real_data: Path, coco_mini: Path, tmp_path: Path) -> None:
    """The 100 annotated images are not here; one picture stands in for each, at its size."""
    content = json.loads((real_data / "lvis_val_100/data/lvis_val_100.json").read_text())
    for image in content["images"]:
        place = tmp_path / "/".join(image["coco_url"].split("/")[-2:])
        place.parent.mkdir(exist_ok=True)
        Image.new("RGB", (image["width"], image["height"])).save(place)
    (tmp_path / "lvis.json").write_text(json.dumps(content))
    data = lvis.load(root=str(tmp_path), annotations="lvis.json")
    assert (len(data), len(data.columns.labels), len(data.meta.classes)) == (100, 977, 1230)
    assert data.path(0).parent.name == "val2017"
    truth = data.ground_truth()
    assert truth["images"] == content["images"]
    assert truth["categories"] == content["categories"]
    assert len(data.meta.frequencies) == 1230
    assert set(data.meta.frequencies) == {"r", "c", "f"}
    of_class = {one["id"]: one["image_count"] for one in content["categories"]}
    assert data.meta.image_counts == tuple(of_class[number] for number in data.meta.category_ids)


def test_lvis_v1_categories(real_data: Path, tmp_path: Path) -> None:
    file = real_data / "lvis_v1_categories/datasets/metadata/lvis_v1_train_cat_info.json"
    categories = json.loads(file.read_text())
    told = {
        "images": [{"id": 7, "width": 40, "height": 30, "coco_url": "http://images.cocodataset.org/val2017/7.jpg",
                    "neg_category_ids": [3], "not_exhaustive_category_ids": []}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 1203, "bbox": [1, 1, 9, 9], "area": 81,
                         "segmentation": [[1, 1, 10, 1, 10, 10, 1, 10]]}],
        "categories": categories,
    }  # fmt: skip
    (tmp_path / "v1.json").write_text(json.dumps(told))
    (tmp_path / "val2017").mkdir()
    Image.new("RGB", (40, 30)).save(tmp_path / "val2017" / "7.jpg")
    data = lvis.load(root=str(tmp_path), annotations="v1.json")
    assert len(data.meta.classes) == 1203
    assert Counter(data.meta.frequencies) == {"r": 337, "c": 461, "f": 405}
    assert data.meta.image_counts[0] == categories[0]["image_count"]
    assert data[0].labels.tolist() == [1202]


def test_penn_fudan(real_data: Path) -> None:
    root = str(real_data / "penn_fudan")
    train, val = (penn_fudan.load(image_set=name, held_out=50, root=root) for name in ("train", "val"))
    assert (len(train), len(val)) == (120, 50)
    assert len(train.columns.labels) + len(val.columns.labels) == 423
    assert all("Penn" in val.path(i).name for i in range(50))
    sample = val[7]
    file = val.paths.image_folder.parent / "PedMasks" / val.path(7).name.replace(".png", "_mask.png")
    people = np.asarray(Image.open(file))
    assert sample.masks is not None
    assert len(sample.labels) == people.max()
    for number, (mask, (x1, y1, x2, y2)) in enumerate(zip(sample.masks.dense(), sample.boxes.tolist(), strict=True), 1):
        assert mask.equal(torch.from_numpy((people == number).astype(np.uint8)))
        rows, columns = np.nonzero(people == number)
        assert [x1, y1, x2, y2] == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_panoptic(real_data: Path, tmp_path: Path) -> None:
    sample = real_data / "panoptic_sample"
    content = json.loads((sample / "sample_data/panoptic_examples.json").read_text())
    content["categories"] = json.loads((sample / "panoptic_coco_categories.json").read_text())
    (tmp_path / "panoptic_val2017.json").write_text(json.dumps(content))
    shutil.copytree(sample / "sample_data/panoptic_examples", tmp_path / "panoptic_val2017")
    shutil.copytree(sample / "sample_data/input_images", tmp_path / "val2017")
    data = panoptic.load(root=str(tmp_path), annotations="panoptic_val2017.json", images="val2017")
    assert (len(data), len(data.meta.classes), len(data.meta.stuff)) == (2, 80, 54)
    things = {one["id"] for one in content["categories"] if one["isthing"]}
    for index, note in enumerate(content["annotations"]):
        found = data[index]
        of_things = [one for one in note["segments_info"] if one["category_id"] in things]
        assert [data.meta.category_ids[label] for label in found.labels] == [one["category_id"] for one in of_things]
        assert found.masks is not None
        areas = found.masks.dense().flatten(1).sum(1).tolist()
        assert [a for a, one in zip(areas, of_things, strict=True) if not one["iscrowd"]] == [
            one["area"] for one in of_things if not one["iscrowd"]
        ]
        assert found.semantic is not None
        stuff = Counter(found.semantic.flatten().tolist())
        expected: Counter[int] = Counter()
        for one in note["segments_info"]:
            label = 0 if one["category_id"] in things else data.meta.stuff_ids.index(one["category_id"]) + 1
            expected[label] += one["area"]
        unlabelled = found.semantic.numel() - sum(expected.values())
        assert stuff == expected + Counter({255: unlabelled})
    truth = data.ground_truth()
    assert [int(rle.area(one["segmentation"])) for one in truth["annotations"]] == [
        one["area"] for one in truth["annotations"]
    ]


def test_deepfashion2(real_data: Path, tmp_path: Path) -> None:
    """The sample is in COCO form: read it so, and written back in the original layout it reads the same."""
    folder = real_data / "keypoint_samples/tests/data/deepfasion2"
    content = json.loads((folder / "deepfasion2.json").read_text())
    converted = coco.load(root=str(folder), annotations="deepfasion2.json", images=".", on_defect="drop")
    base = tmp_path / "validation"
    (base / "annos").mkdir(parents=True)
    shutil.copytree(folder, base / "image", ignore=shutil.ignore_patterns("*.json"))
    for image in content["images"]:
        objects = [one for one in content["annotations"] if one["image_id"] == image["id"]]
        document = {"source": "shop", "pair_id": objects[0]["pair_id"]}
        for number, one in enumerate(objects, 1):
            at, count = (deepfashion2.OFFSETS[one["category_id"] - 1], deepfashion2.LENGTHS[one["category_id"] - 1])
            x, y, width, height = one["bbox"]
            assert not any(one["keypoints"][: 3 * at]), "the class's own landmarks begin at its offset"
            assert not any(one["keypoints"][3 * (at + count) :]), "and end with its length"
            document[f"item{number}"] = {
                "category_id": one["category_id"], "style": one["style"], "segmentation": one["segmentation"],
                "bounding_box": [x, y, x + width, y + height],
                "landmarks": one["keypoints"][3 * at : 3 * (at + count)],
            }  # fmt: skip
        (base / "annos" / f"{image['id']:06d}.json").write_text(json.dumps(document))
    data = deepfashion2.load(image_set="validation", root=str(tmp_path), on_defect="drop")
    assert [data.path(i).name for i in range(len(data))] == ["000264.jpg", "000265.jpg"]
    assert len(data.meta.keypoints) == 294
    assert [data.meta.keypoint_slots(label).start for label in range(13)] == [*deepfashion2.OFFSETS]
    assert data.meta.keypoint_slots(12) == range(275, 294)
    for index in range(2):
        first, second = converted[index], data[index]
        assert second.boxes.equal(first.boxes)
        assert first.visibility is not None
        assert second.visibility is not None
        assert second.visibility.equal(first.visibility)
        assert second.keypoints is not None
        assert first.keypoints is not None
        assert second.keypoints.equal(first.keypoints)
        assert first.masks is not None
        assert second.masks is not None
        assert second.masks.dense().equal(first.masks.dense())
    notes = content["annotations"]
    assert [one["area"] for one in data.ground_truth()["annotations"]] == [one["area"] for one in notes]
    assert [one["pair_id"] for one in data.ground_truth()["annotations"]] == [one["pair_id"] for one in notes]


def test_the_voc_case_survives_the_trip_through_xml(real_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "VOC2007"
    for part in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / part).mkdir(parents=True)
    expected = {}
    for file in sorted((real_data / "voc_eval_case/groundtruths").glob("*.txt")):
        boxes = [[int(part) for part in line.split()[1:]] for line in file.read_text().splitlines()]
        expected[int(file.stem)] = boxes
        things = "".join(
            f"<object><name>person</name><difficult>0</difficult><bndbox><xmin>{x + 1}</xmin><ymin>{y + 1}</ymin>"
            f"<xmax>{x + w}</xmax><ymax>{y + h}</ymax></bndbox></object>" for x, y, w, h in boxes
        )  # fmt: skip
        size = "<size><width>200</width><height>200</height><depth>3</depth></size>"
        (folder / "Annotations" / f"{file.stem}.xml").write_text(f"<annotation>{size}{things}</annotation>")
        Image.new("RGB", (200, 200)).save(folder / "JPEGImages" / f"{file.stem}.jpg")
    (folder / "ImageSets/Main/test.txt").write_text("".join(f"{number:05d}\n" for number in expected))
    data = voc.load(image_sets=["VOC2007/test"], root=str(tmp_path))
    truth = data.ground_truth()
    assert (len(data), len(truth["annotations"])) == (7, 15)
    found: dict[int, list[list[int]]] = {}
    for one in truth["annotations"]:
        found.setdefault(one["image_id"], []).append(one["bbox"])
    assert found == expected
