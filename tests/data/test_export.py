import json
from xml.etree import ElementTree as xml

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle
from pycocotools.coco import COCO

from lineage.cli.data.main import main
from lineage.data.export import cityscapes, coco, lvis, voc
from lineage.data.export.polygons import mask_to_polygons
from lineage.data.shapes.dataset import Shapes


@pytest.fixture(scope="module")
def dataset():
    return Shapes(seed=3, length=12, crowds=0.6, size=[[96, 128], [128, 112]])


def crowdless(scene):
    return scene.masks[~scene.crowd]


def raster(outlined, height, width):
    return rle.decode(rle.merge(rle.frPyObjects(outlined, height, width))).astype(bool)


@pytest.mark.parametrize("density", [0.2, 0.5, 0.8])
def test_polygons_give_any_mask_back(density):
    rng = np.random.default_rng(0)
    for _ in range(30):
        mask = rng.random(rng.integers(3, 30, 2)) < density
        mask[1, 1] = True
        assert np.array_equal(raster(mask_to_polygons(mask), *mask.shape), mask)


def test_a_hole_stays_inside_its_own_outline():
    mask = np.zeros((12, 24), bool)
    mask[1:11, 1:11] = mask[1:11, 13:23] = True
    mask[4:8, 4:8] = False
    left, right = sorted(mask_to_polygons(mask))
    assert len(left) // 2 == 4 + 4 + 2
    assert len(right) // 2 == 4


@pytest.mark.parametrize("outlined", [False, True])
def test_coco_comes_back_exactly(dataset, tmp_path, outlined):
    read = COCO(coco.write(dataset, tmp_path, "train", suffix="png", polygons=outlined))
    for index in range(len(dataset)):
        scene, record = dataset.draw_scene(index), read.imgs[index + 1]
        with Image.open(tmp_path / "train2017" / record["file_name"]) as image:
            assert np.array_equal(np.asarray(image), scene.image)
        found = read.loadAnns(read.getAnnIds(index + 1))
        assert [one["category_id"] - 1 for one in found] == scene.labels.tolist()
        assert [one["iscrowd"] for one in found] == scene.crowd.tolist()
        for one, mask, (x1, y1, x2, y2) in zip(found, scene.masks, scene.boxes, strict=True):
            assert np.array_equal(read.annToMask(one), mask)
            assert one["bbox"] == [x1, y1, x2 - x1, y2 - y1]
    assert read.cats[5]["keypoints"][0] == "nose"


def test_coco_crowds_are_uncompressed_among_polygons(dataset, tmp_path):
    document = json.loads(coco.write(dataset, tmp_path, "val", polygons=True).read_text())
    kinds = {(one["iscrowd"], type(one["segmentation"])) for one in document["annotations"]}
    assert kinds == {(0, list), (1, dict)}
    assert all(isinstance(one["segmentation"]["counts"], list) for one in document["annotations"] if one["iscrowd"])
    assert len(list((tmp_path / "val2017").glob("*.jpg"))) == len(dataset)


def test_lvis_is_federated(dataset, tmp_path):
    document = json.loads(lvis.write(dataset, tmp_path, "train").read_text())
    assert {one["frequency"] for one in document["categories"]} <= {"r", "c", "f"}
    for index, record in enumerate(document["images"]):
        scene = dataset.draw_scene(index)
        found = [one for one in document["annotations"] if one["image_id"] == record["id"]]
        present = {int(label) + 1 for label in scene.labels}
        assert not present & set(record["neg_category_ids"])
        assert set(record["not_exhaustive_category_ids"]) == {int(label) + 1 for label in scene.labels[scene.crowd]}
        assert all(np.array_equal(rle.decode(one["segmentation"]), mask)
                   for one, mask in zip(found, crowdless(scene), strict=True))  # fmt: skip
        folder, name = record["coco_url"].split("/")[-2:]
        assert (tmp_path / folder / name).exists()


def test_lvis_frequencies_follow_the_number_of_images():
    assert [lvis.frequency(n) for n in (1, 10, 11, 100, 101)] == ["r", "r", "c", "c", "f"]


def test_cityscapes_instances_come_back(dataset, tmp_path):
    fine = cityscapes.write(dataset, tmp_path, "val") / "lineage"
    for index in range(len(dataset)):
        scene, stem = dataset.draw_scene(index), f"lineage_{index + 1:06d}_000019"
        ids = np.asarray(Image.open(fine / f"{stem}_gtFine_instanceIds.png"))
        found = {(ids == i).tobytes(): i // 1000 - 24 for i in np.unique(ids) if i >= 1000}
        labels = scene.labels[~scene.crowd].tolist()
        assert found == {mask.tobytes(): label for mask, label in zip(crowdless(scene), labels, strict=True)}
        assert np.array_equal((ids > 0) & (ids < 1000), scene.masks[scene.crowd].any(0))
        outlined = json.loads((fine / f"{stem}_gtFine_polygons.json").read_text())
        drawn = [[side for corner in one["polygon"] for side in corner] for one in outlined["objects"]]
        assert np.array_equal(raster(drawn, *ids.shape), ids > 0)
        image = Image.open(tmp_path / "leftImg8bit" / "val" / "lineage" / f"{stem}_leftImg8bit.png")
        assert np.array_equal(np.asarray(image), scene.image)


def test_voc_instances_come_back(dataset, tmp_path):
    annotations = voc.write(dataset, tmp_path, "train")
    folder = annotations.parent
    stems = (folder / "ImageSets" / "Main" / "train.txt").read_text().split()
    assert len(stems) == len(dataset)
    for stem, scene in zip(stems, map(dataset.draw_scene, range(len(dataset))), strict=True):
        things = xml.parse(annotations / f"{stem}.xml").findall("object")
        numbers = np.asarray(Image.open(folder / "SegmentationObject" / f"{stem}.png"))
        assert [thing.findtext("name") for thing in things] == [dataset.meta.classes[label] for label in scene.labels]
        assert [thing.findtext("difficult") == "1" for thing in things] == scene.crowd.tolist()
        for number, (thing, mask) in enumerate(zip(things, scene.masks, strict=True)):
            corners = [int(thing.findtext(f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax")]
            assert [corners[0] - 1, corners[1] - 1, *corners[2:]] == scene.boxes[number].tolist()
            assert scene.crowd[number] or np.array_equal(numbers == number + 1, mask)


def test_voc_palette_is_the_original():
    assert voc.palette()[[0, 1, 2, 15, 20, 255]].tolist() == [
        [0, 0, 0], [128, 0, 0], [0, 128, 0], [192, 128, 128], [0, 64, 128], [224, 224, 192],
    ]  # fmt: skip


def test_the_command_writes_and_says_what_comes_next(tmp_path, capsys):
    folder = tmp_path / "made"
    command = ["make", "shapes", str(folder), "--size", "64x48", "--images", "2", "--val", "1", "--lossless"]
    assert main(command) == 0
    assert f"dataset=coco dataset.root={folder}" in capsys.readouterr().out
    with Image.open(folder / "train2017" / "000000000001.png") as image:
        assert image.size == (64, 48)
    assert main(command) == 1
    assert "is not empty" in capsys.readouterr().err


@pytest.mark.parametrize(("option", "value", "says"), [
    ("--size", "64", "320x240"), ("--size", "64x9", "each 32 or more"),
    ("--images", "0", "1 or more"), ("--val", "-3", "1 or more"),
])  # fmt: skip
def test_a_wrong_number_on_the_command_line_is_explained(tmp_path, capsys, option, value, says):
    with pytest.raises(SystemExit):
        main(["make", "shapes", str(tmp_path / "made"), option, value])
    assert says in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_named(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["make", "shapes", str(tmp_path / "file" / "made"), "--images", "1", "--val", "1"]) == 1
    assert "cannot be written" in capsys.readouterr().err
