"""Images with the labels of a file, beside a labelled set: what is read, what is refused, what is one dataset."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from lineage.data.annotations.validate import DatasetError
from lineage.data.concat import ConcatDataset, find_id_shifts
from lineage.data.formats import coco, unlabelled
from lineage.data.pseudo_labelled import PseudoLabelled
from lineage.data.shapes.dataset import Shapes
from tests.data import folder


@pytest.fixture(scope="module")
def shapes() -> Shapes:
    return Shapes(seed=3, length=6, size=64, only=["figure"], objects=3.0, scales=[0.3, 0.9])


def labels(path: Path, shapes: Shapes, **changes: Any) -> str:
    """A box and a nose on images 2 and 5, nothing on the others."""
    truth = shapes.ground_truth()
    nose = [30, 20, 2] + [0, 0, 0] * 16
    notes = [
        {"id": i, "image_id": image, "category_id": truth["categories"][0]["id"], "bbox": [10, 10, 40, 20],
         "area": 800, "iscrowd": 0, "keypoints": nose, "num_keypoints": 1}
        for i, image in enumerate((5, 2), 1)
    ]  # fmt: skip
    told = {"images": truth["images"], "annotations": notes, "categories": truth["categories"], **changes}
    path.write_text(json.dumps(told))
    return str(path)


def read(path: str | None, images: Any) -> PseudoLabelled:
    return PseudoLabelled(images, path=path, filter_empty=True, min_keypoints=1)


def test_images_keep_their_pixels_and_get_the_labels_of_the_file(tmp_path: Path, shapes: Shapes) -> None:
    found = read(labels(tmp_path / "labels.json", shapes), shapes)
    assert found.ids.tolist() == [2, 5]
    for sample, index in zip((found[0], found[1]), (1, 4), strict=True):
        assert torch.equal(sample.image, shapes[index].image)
        assert sample.boxes.tolist() == [[10, 10, 50, 30]]
        assert sample.visibility is not None
        assert sample.visibility.tolist() == [[2] + [0] * 16]
        assert sample.masks is None
    assert found.meta.classes == shapes.meta.classes
    again = pickle.loads(pickle.dumps(found))
    assert torch.equal(again[1].boxes, found[1].boxes)
    assert {one["image_id"] for one in found.ground_truth()["annotations"]} == {2, 5}


def test_other_labels_are_another_dataset(tmp_path: Path, shapes: Shapes) -> None:
    one, path = read(labels(tmp_path / "a.json", shapes), shapes), labels(tmp_path / "b.json", shapes)
    assert read(path, shapes).fingerprint == one.fingerprint
    text = Path(path).read_text()
    Path(path).write_text(text.replace("[10, 10, 40, 20]", "[10, 10, 40, 21]", 1))
    assert read(path, shapes).fingerprint != one.fingerprint


def test_what_cannot_be_learned_from_is_refused(tmp_path: Path, shapes: Shapes) -> None:
    with pytest.raises(DatasetError, match=r"dataset.labels is not set.*\n.*dump_labels=true"):
        read(None, shapes)
    with pytest.raises(DatasetError, match=r"none.json: no such annotation file.\n.*dump_labels=true"):
        read(str(tmp_path / "none.json"), shapes)
    with pytest.raises(DatasetError, match="`annotations` is empty"):
        read(labels(tmp_path / "empty.json", shapes, annotations=[]), shapes)
    crowd = {"id": 1, "image_id": 2, "category_id": 5, "bbox": [10, 10, 40, 20], "iscrowd": 1}
    with pytest.raises(DatasetError, match="no image with 1 keypoints or more among its 1 labels"):
        read(labels(tmp_path / "crowd.json", shapes, annotations=[crowd]), shapes)
    path = labels(tmp_path / "labels.json", shapes)
    with pytest.raises(DatasetError, match=r"1 images, such as 5, dataset.unlabelled has not: .* other images"):
        read(path, Shapes(seed=3, length=4, size=64))
    with pytest.raises(DatasetError, match=r"image 2 is \[64, 64\] there .* and \[96, 64\] in dataset.unlabelled"):
        read(path, Shapes(seed=3, length=6, size=[96, 64]))


def test_a_union_is_its_parts_one_after_the_other(tmp_path: Path, shapes: Shapes) -> None:
    other = read(labels(tmp_path / "labels.json", shapes), shapes)
    both = ConcatDataset([shapes, other])
    assert len(both) == 8
    assert both.sizes.tolist() == [[64, 64]] * 8
    assert both.ids.tolist() == [1, 2, 3, 4, 5, 6, 7, 10]  # 2 and 5 would name two images each
    assert [both[i].image_id for i in range(8)] == both.ids.tolist()
    assert torch.equal(both[6].image, shapes[1].image)
    assert torch.equal(both[0].boxes, shapes[0].boxes)
    assert both[0].masks is None  # no head may find masks in one half of the images
    assert both[0].keypoints is not None
    assert both.meta.flip_indices == tuple(shapes.meta.flip_indices)
    truth = both.ground_truth()
    assert [one["id"] for one in truth["images"]][:6] == [1, 2, 3, 4, 5, 6]
    assert [one["image_id"] for one in truth["annotations"]][-2:] == [10, 7]
    assert len({one["id"] for one in truth["annotations"]}) == len(truth["annotations"])


def test_ids_that_name_one_image_each_stay() -> None:
    assert find_id_shifts([torch.tensor([3, 9]), torch.tensor([1, 4])]) == [0, 0]
    assert find_id_shifts([torch.tensor([3, 9]), torch.tensor([4, 9]), torch.tensor([1])]) == [0, 6, 15]


def test_different_classes_are_no_union(shapes: Shapes) -> None:
    with pytest.raises(DatasetError, match="datasets of different classes cannot be one"):
        ConcatDataset([shapes, Shapes(seed=1, length=2, size=64)])


def test_images_without_labels_are_read_from_a_list_of_them(tmp_path: Path) -> None:
    told = folder.content()
    folder.write(tmp_path, {"images": told["images"]})
    found = unlabelled.load(root=str(tmp_path), annotations="train.json", images="images")
    assert found.ids.tolist() == [10, 20, 30]
    assert len(found[0].labels) == 0
    assert found[0].image.shape == (3, 20, 30)
    labelled = folder.write(tmp_path / "labelled", told)
    with_objects = unlabelled.load(root=str(labelled), annotations="train.json", images="images")
    assert len(with_objects[0].labels) == 0  # those of the file do not count
    assert len(coco.load(root=str(labelled), annotations="train.json")[0].labels) == 1


def test_a_list_of_images_that_is_none_is_told(tmp_path: Path) -> None:
    def load(**options: Any) -> None:
        unlabelled.load(root=str(tmp_path), annotations="train.json", images="images", **options)

    with pytest.raises(DatasetError, match=r"(?s)cannot be read \(No such file.*unlabeled2017.zip"):
        load()
    for wrong in ("{", "[]", '{"image": []}', '{"images": []}', '{"images": [1]}'):
        folder.write(tmp_path, wrong)
        with pytest.raises(DatasetError, match=r"images"):
            load()
    folder.write(tmp_path, {"images": folder.content()["images"]})
    (tmp_path / "images/2.png").unlink()
    with pytest.raises(DatasetError, match=r"(?s)image file is missing: 1.*Train without them:  dataset.unlab"):
        load()
    load(on_defect="drop")
