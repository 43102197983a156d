"""What every format does with bad or unusual files: one message that names the file, the image and the fix."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from lineage.data.annotations.indexed_dataset import IndexedDataset
from lineage.data.annotations.validate import DatasetError
from lineage.data.export import cityscapes as write_cityscapes
from lineage.data.export import lvis as write_lvis
from lineage.data.export import panoptic as write_panoptic
from lineage.data.export import penn_fudan as write_penn_fudan
from lineage.data.export import voc as write_voc
from lineage.data.formats import cityscapes, coco, deepfashion2, lvis, panoptic, penn_fudan, voc
from lineage.data.samples.image import ImageError
from lineage.data.shapes.dataset import Shapes
from lineage.eval.protocols.cityscapes import LABELS

Load = Callable[..., Any]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def drawn() -> Shapes:
    return Shapes(seed=1, length=3, size=[64, 64], crowds=0)


def told(load: Load, **options: Any) -> str:
    with pytest.raises(DatasetError) as caught:
        load(**options)
    return str(caught.value)


LOADS: dict[str, tuple[Load, dict[str, Any]]] = {
    "coco": (coco.load, {"annotations": "a.json"}),
    "lvis": (lvis.load, {"annotations": "a.json"}),
    "panoptic": (panoptic.load, {"annotations": "a.json"}),
    "cityscapes": (cityscapes.load, {"image_set": "train"}),
    "voc07": (voc.load, {"image_sets": ["VOC2007/trainval"]}),
    "deepfashion2": (deepfashion2.load, {"image_set": "train"}),
    "penn_fudan": (penn_fudan.load, {"image_set": "train", "held_out": 50}),
}


@pytest.mark.parametrize("name", LOADS)
def test_without_a_root_and_with_an_empty_one_the_layout_is_explained(name: str, tmp_path: Path) -> None:
    load, options = LOADS[name]
    for root in (None, str(tmp_path)):
        message = told(load, root=root, **options)
        assert "dataset.root is not set" in message if root is None else str(tmp_path) in message
        assert f"lineage data prepare {'coco_panoptic' if name == 'panoptic' else name}" in message
        assert "A copy you have:  dataset=" in message


def voc_root(drawn: Shapes, tmp_path: Path) -> Path:
    write_voc.write(drawn, tmp_path, "val")
    return tmp_path / "VOCdevkit" / "VOC2012"


def open_voc(drawn: Shapes, tmp_path: Path, **options: Any) -> IndexedDataset:
    return voc.load(image_sets=["VOC2012/val"], root=str(tmp_path), classes=drawn.meta.classes, **options)


@pytest.mark.parametrize("place", ["", "VOCdevkit", "VOCdevkit/VOC2012"])
def test_voc_is_found_from_any_of_its_folders(drawn: Shapes, tmp_path: Path, place: str) -> None:
    voc_root(drawn, tmp_path)
    assert len(open_voc(drawn, tmp_path / place)) == 3


@pytest.mark.parametrize(("spoil", "parts"), [
    (lambda text: text[:200], ["annotation file cannot be used", "val_000002.xml", "fetch or export it again"]),
    (lambda text: text.replace("<name>", "<name>flying ", 1), ["class 'flying ", "val_000002.xml", "known are"]),
    (lambda text: text.replace("xmax>", "xmix>"), ["no complete bndbox", "val_000002.xml"]),
])  # fmt: skip
def test_a_broken_voc_file(drawn: Shapes, tmp_path: Path, spoil: Callable[[str], str], parts: list[str]) -> None:
    file = voc_root(drawn, tmp_path) / "Annotations" / "val_000002.xml"
    file.write_text(spoil(file.read_text()))
    with pytest.raises(DatasetError) as caught:
        open_voc(drawn, tmp_path)
    for part in (*parts, "image 2 (VOC2012/JPEGImages/", "dataset.train.on_defect=drop", "1 defect."):
        assert part in str(caught.value)
    assert open_voc(drawn, tmp_path, on_defect="drop").ids.tolist() == [1, 3]


def test_a_missing_voc_file(drawn: Shapes, tmp_path: Path) -> None:
    (voc_root(drawn, tmp_path) / "Annotations" / "val_000002.xml").unlink()
    with pytest.raises(DatasetError, match=r"val_000002\.xml.*No such file"):
        open_voc(drawn, tmp_path)


def test_an_empty_list_of_voc(drawn: Shapes, tmp_path: Path) -> None:
    (voc_root(drawn, tmp_path) / "ImageSets/Main/val.txt").write_text("\n")
    with pytest.raises(DatasetError, match=r"val\.txt: lists no image"):
        open_voc(drawn, tmp_path)


def test_voc_without_sizes_asks_the_image_and_its_exif(drawn: Shapes, tmp_path: Path) -> None:
    folder = voc_root(drawn, tmp_path)
    file = folder / "Annotations" / "val_000002.xml"
    file.write_text(file.read_text().replace("<height>64</height>", "<height>0</height>"))
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (64, 80)).save(folder / "JPEGImages" / "val_000002.jpg", exif=turned)
    assert open_voc(drawn, tmp_path)[1].image.shape == (3, 64, 80)


def test_names_of_voc_become_ids() -> None:
    listed = [voc.VocImage("VOC2007", "000005"), voc.VocImage("VOC2012", "2008_000002")]
    assert voc.number_images(listed) == [5, 2008000002]
    assert voc.number_images([voc.VocImage("VOC2012", "a"), *listed]) == [1, 2, 3]


def test_voc_joins_years(drawn: Shapes, tmp_path: Path) -> None:
    voc_root(drawn, tmp_path)
    (tmp_path / "VOCdevkit/VOC2012").rename(tmp_path / "VOCdevkit/VOC2007")
    voc_root(drawn, tmp_path)
    both = voc.load(image_sets=["VOC2007/val", "VOC2012/val"], root=str(tmp_path), classes=drawn.meta.classes)
    assert len(both) == 6
    assert [both.path(i).parts[-3] for i in (0, 5)] == ["VOC2007", "VOC2012"]
    assert len(set(both.ids.tolist())) == 6


def test_penn_fudan_masks_that_are_pictures(drawn: Shapes, tmp_path: Path) -> None:
    write_penn_fudan.write(drawn, tmp_path, "val")
    file = tmp_path / "PennFudanPed/PedMasks/PennPed00002_mask.png"
    Image.new("RGB", (64, 64)).save(file)
    message = told(penn_fudan.load, image_set="val", held_out=2, root=str(tmp_path))
    assert f"{file}: is of mode RGB" in message
    assert "image 1 (PennPed00002.png)" in message
    message = told(penn_fudan.load, image_set="val", held_out=3, root=str(tmp_path))
    assert "leaves at least one image" in message
    held_out = int(message.rpartition("dataset.held_out=")[2])
    assert len(penn_fudan.load(image_set="val", held_out=held_out, root=str(tmp_path))) == held_out


def test_a_cut_off_cityscapes_file(drawn: Shapes, tmp_path: Path) -> None:
    truth = write_cityscapes.write(drawn, tmp_path, "val")
    things = {name: 24 + label for label, name in enumerate(drawn.meta.classes)}
    file = truth / "lineage/lineage_000002_000019_gtFine_instanceIds.png"
    file.write_bytes(file.read_bytes()[:50])
    message = told(cityscapes.load, image_set="val", root=str(tmp_path), classes=things)
    assert str(file) in message
    assert "image 2 (lineage/lineage_000002_000019_leftImg8bit.png)" in message
    for one in truth.rglob("*_instanceIds.png"):
        one.unlink()
    polygons = truth / "lineage/lineage_000003_000019_gtFine_polygons.json"
    polygons.write_text(json.dumps({"objects": []}))
    message = told(cityscapes.load, image_set="val", root=str(tmp_path), classes=things)
    assert f"{polygons}: ValueError imgWidth is None, not a number of pixels" in message


def test_cityscapes_polygons_are_drawn_as_the_official_script_draws() -> None:
    """Later over earlier; a plate stays part of its car; a group keeps its bare label."""

    def square(label: str, x: int, y: int, side: int) -> dict[str, Any]:
        return {"label": label, "polygon": [[x, y], [x + side, y], [x + side, y + side], [x, y + side]]}

    document = {"imgHeight": 40, "imgWidth": 60, "objects": [
        square("road", 0, 0, 39), square("car", 2, 2, 20), square("license plate", 4, 4, 3), square("car", 30, 2, 9),
        square("pole", 10, 0, 2), square("persongroup", 45, 5, 8),
        {**square("bus", 0, 0, 9), "deleted": 1}]}  # fmt: skip
    ids = cityscapes.draw_instance_ids(document, cityscapes.THINGS)
    assert ids.shape == (40, 60)
    assert ids[5, 5] == 26000
    assert ids[5, 33] == 26001
    assert ids[2, 11] == 17
    assert ids[6, 46] == 24
    assert ids[35, 35] == 7
    assert set(np.unique(ids)) == {0, 7, 17, 24, 26000, 26001}


def official_ids(file: Path) -> np.ndarray:
    from cityscapesscripts.helpers.annotation import Annotation
    from cityscapesscripts.preparation.json2instanceImg import createInstanceImage

    annotation = Annotation()
    annotation.fromJsonFile(str(file))
    return np.asarray(createInstanceImage(annotation, "ids"))


def test_cityscapes_polygons_give_the_official_image(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    names = [*cityscapes.THINGS, "road", "pole", "cargroup", "caravan", "license plate"]
    for trial in range(20):
        objects = [
            {"label": str(generator.choice(names)), "polygon": generator.integers(0, 90, (5, 2)).tolist()}
            for _ in range(12)
        ]
        document = {"imgHeight": 80, "imgWidth": 90, "objects": objects}
        file = tmp_path / f"{trial}_polygons.json"
        file.write_text(json.dumps(document))
        official = official_ids(file)
        ours = cityscapes.draw_instance_ids(document, cityscapes.THINGS)
        mine = np.isin(np.where(ours >= 1000, ours // 1000, ours), list(cityscapes.THINGS.values()))
        theirs = np.isin(np.where(official >= 1000, official // 1000, official), list(cityscapes.THINGS.values()))
        assert np.array_equal(mine, theirs)
        assert np.array_equal(ours[mine], official[mine])


def test_landmarks_mirror_within_their_class_and_have_equal_tolerances() -> None:
    """The official tolerances are nearly all symmetric, which checks the table of pairs independently."""
    flip_indices = torch.tensor(deepfashion2.create_flip_indices())
    assert flip_indices[flip_indices].equal(torch.arange(294))
    owner = torch.repeat_interleave(torch.arange(13), torch.tensor(deepfashion2.LENGTHS))
    assert owner[flip_indices].equal(owner)
    config = yaml.safe_load((ROOT / "conf/dataset/deepfashion2.yaml").read_text())
    sigmas = torch.tensor(config["evaluator"]["sigmas"])
    assert len(sigmas) == 294
    assert (sigmas != sigmas[flip_indices]).sum() == 2  # one pair, .0455 and .0486


def test_panoptic_images_without_a_record_and_without_a_png(drawn: Shapes, tmp_path: Path) -> None:
    file = write_panoptic.write(drawn, tmp_path, "val")
    options = {"root": str(tmp_path), "annotations": "annotations/panoptic_val2017.json", "images": "val2017"}
    (tmp_path / "annotations/panoptic_val2017/000000000003.png").unlink()
    data = panoptic.load(**options)
    with pytest.raises(ImageError, match=r"000000000003\.png: cannot be read"):
        data[2]
    (defect,) = data.find_defects(lambda records: records)
    assert defect.record == "image 3 (000000000003.jpg)"
    document = json.loads(file.read_text())
    document["annotations"].pop(1)
    file.write_text(json.dumps(document))
    message = told(panoptic.load, **options)
    assert "image without segments" in message
    assert "image 2 (000000000002.jpg)" in message
    (tmp_path / "annotations/panoptic_val2017").rename(tmp_path / "maps")
    assert "Set dataset.train.maps" in told(panoptic.load, **options)


def test_instances_are_not_panoptic(coco_mini: Path) -> None:
    (name,) = ["annotations/instances_val2017.json"]
    message = told(panoptic.load, root=str(coco_mini), annotations=name, images="val2017", maps="val2017")
    assert "use dataset=coco" in message


@pytest.mark.parametrize(("change", "part"), [
    ({"segments_info": [{"id": 5}]}, "image 1 has the segment {'id': 5}"),
    ({"segments_info": [{"id": 5, "category_id": 999}]}, "'category_id': 999}. Annotations need image_id"),
    ({"segments_info": [7]}, "image 1 has the segment 7"),
    ({"image_id": None}, "annotation 0 has the image_id None"),
])  # fmt: skip
def test_a_broken_panoptic_record(drawn: Shapes, tmp_path: Path, change: dict[str, Any], part: str) -> None:
    file = write_panoptic.write(drawn, tmp_path, "train")
    content = json.loads(file.read_text())
    content["annotations"][0] |= change
    file.write_text(json.dumps(content))
    assert part in told(panoptic.load, root=str(tmp_path), annotations=str(file), images="train2017")


def test_a_file_without_federated_lists_is_not_lvis(drawn: Shapes, tmp_path: Path) -> None:
    file = write_lvis.write(drawn, tmp_path, "train")
    content = json.loads(file.read_text())
    content["images"][1]["neg_category_ids"] = None
    file.write_text(json.dumps(content))
    said = told(lvis.load, root=str(tmp_path), annotations=str(file))
    assert "image 2 has the neg_category_ids None" in said
    assert "use dataset=coco" in said
    content["images"][1]["neg_category_ids"] = []
    del content["categories"][0]["frequency"]
    file.write_text(json.dumps(content))
    assert "category 1 has the frequency None" in told(lvis.load, root=str(tmp_path), annotations=str(file))


def test_cityscapes_ids_in_colour(drawn: Shapes, tmp_path: Path) -> None:
    folder = write_cityscapes.write(drawn, tmp_path, "train")
    Image.new("RGB", (64, 64)).save(next(folder.glob("*/*_instanceIds.png")))
    said = told(cityscapes.load, image_set="train", root=str(tmp_path))
    assert "has channels R/G/B, where instance ids have one of 16 bits" in said


def test_reader_and_evaluation_number_cityscapes_alike() -> None:
    """The evaluation imports no dataset, so that both have the list."""
    assert cityscapes.THINGS == LABELS
