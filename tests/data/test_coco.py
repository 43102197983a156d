from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO

from lineage.data.annotations.indexed_dataset import IndexedDataset
from lineage.data.annotations.skeleton import create_flip_indices
from lineage.data.annotations.validate import DatasetError
from lineage.data.formats.coco import load as coco
from lineage.data.samples.image import ImageError
from tests.data import folder


def load(root: Path, **options: object) -> IndexedDataset:
    return coco(root=str(root), annotations="train.json", **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def official(coco_mini: Path) -> COCO:
    return COCO(str(coco_mini / "annotations/instances_train2017.json"))


@pytest.fixture(scope="module")
def train(coco_mini: Path) -> IndexedDataset:
    return coco(root=str(coco_mini), images="train2017", annotations="annotations/instances_train2017.json")


def test_real_samples_equal_what_pycocotools_reads(train: IndexedDataset, official: COCO) -> None:
    assert len(train) == len(official.imgs)
    assert train.meta.category_ids == tuple(sorted(official.getCatIds()))
    assert train.meta.classes == tuple(one["name"] for one in official.loadCats(train.meta.category_ids))
    for index in range(0, len(train), 4):
        sample = train[index]
        annotations = official.loadAnns(official.getAnnIds(sample.image_id))
        boxes = torch.tensor([one["bbox"] for one in annotations], dtype=torch.float64).reshape(-1, 4)
        assert sample.boxes.equal(torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1).float())
        categories = [train.meta.category_ids[label] for label in sample.labels]
        assert categories == [one["category_id"] for one in annotations]
        assert sample.crowd.tolist() == [bool(one["iscrowd"]) for one in annotations]
        assert sample.masks is not None
        for mask, one in zip(sample.masks.dense(), annotations, strict=True):
            expected = np.zeros_like(mask) if one["iscrowd"] else official.annToMask(one)
            assert mask.equal(torch.from_numpy(expected))
        assert tuple(sample.image.shape[1:]) == sample.original_size == tuple(train.sizes[index].tolist())


def test_real_pixels(train: IndexedDataset, coco_mini: Path) -> None:
    expected = np.array(Image.open(train.path(7)).convert("RGB"))
    assert train.path(7).parent == coco_mini / "train2017"
    assert train[7].image.permute(1, 2, 0).equal(torch.from_numpy(expected))


def test_real_keypoints(coco_mini: Path) -> None:
    file = coco_mini / "annotations/person_keypoints_train2017.json"
    people = coco(root=str(coco_mini), images="train2017", annotations=str(file), filter_empty=True)
    official = COCO(str(file))
    assert len(people.meta.keypoints) == 17
    assert [people.meta.keypoints[i] for i in people.meta.flip_indices[:3]] == ["nose", "right_eye", "left_eye"]
    for index in range(len(people)):
        sample = people[index]
        annotations = official.loadAnns(official.getAnnIds(sample.image_id))
        expected = torch.tensor([one["keypoints"] for one in annotations]).reshape(-1, 17, 3)
        assert sample.keypoints is not None
        assert sample.keypoints.equal(expected[..., :2] + 0.5)
        assert sample.visibility is not None
        assert sample.visibility.equal(expected[..., 2])


def test_ground_truth_is_the_file_itself(train: IndexedDataset, official: COCO) -> None:
    truth = train.ground_truth()
    assert [one["id"] for one in truth["annotations"]] == [one["id"] for one in official.dataset["annotations"]]
    assert truth["annotations"][5]["segmentation"] == official.dataset["annotations"][5]["segmentation"]


def test_a_crowd_is_marked_and_not_drawn(tmp_path: Path) -> None:
    told = folder.content(1)
    told["annotations"].append(
        folder.annotation(2, 10, iscrowd=1, segmentation={"size": [20, 30], "counts": [100, 100, 400]})
    )
    sample = load(folder.write(tmp_path, told))[0]
    assert sample.crowd.tolist() == [False, True]
    assert sample.masks is not None
    assert sample.masks.dense().flatten(1).sum(1).tolist() == [80, 0]


def test_all_three_notations_of_a_mask_are_the_same(tmp_path: Path) -> None:
    told = folder.content(3)
    runs = [2 * 20 + 2, *([8, 12] * 9), 8, 8 + 17 * 20 + 10 + 20 - 8 - 10 + 2 - 12]
    runs[-1] = 600 - sum(runs[:-1])
    told["annotations"][1]["segmentation"] = {"size": [20, 30], "counts": runs}
    data = load(folder.write(tmp_path, told))
    compressed = data.columns.masks(1).decode()  # type: ignore[misc]
    told["annotations"][2]["segmentation"] = {"size": [20, 30], "counts": compressed}
    samples = [load(folder.write(tmp_path, told))[i] for i in range(3)]
    first, second, third = (one.masks.dense() for one in samples if one.masks is not None)
    assert first.sum() == 80
    assert first.equal(second)
    assert first.equal(third)


def test_any_category_ids_become_labels_in_their_order(tmp_path: Path) -> None:
    data = load(folder.write(tmp_path, folder.content()))
    assert data.meta.classes == ("cat", "dog")
    assert data.meta.category_ids == (4, 9)
    assert data[0].labels.tolist() == [0]
    assert [data[i].image_id for i in range(3)] == [10, 20, 30]


def test_images_without_objects_stay_unless_told(tmp_path: Path) -> None:
    told = folder.content()
    told["annotations"][0]["iscrowd"] = 1
    del told["annotations"][2]
    root = folder.write(tmp_path, told)
    assert [len(load(root)[i].labels) for i in range(3)] == [1, 1, 0]
    assert load(root, filter_empty=True).ids.tolist() == [20]
    assert [one["id"] for one in load(root, filter_empty=True).ground_truth()["images"]] == [20]


def test_boxes_alone_are_a_dataset_too(tmp_path: Path) -> None:
    told = folder.content()
    for one in told["annotations"]:
        one["segmentation"] = []
    assert load(folder.write(tmp_path, told))[0].masks is None


@pytest.mark.parametrize("beside", [".", "images", "train2017"])
def test_images_are_found_in_the_usual_places(tmp_path: Path, beside: str) -> None:
    """Roboflow exports put the annotation file among the images and count from 0."""
    told = folder.content()
    for number, one in enumerate(told["annotations"]):
        del one["area"], one["iscrowd"]
        one["id"] = number
    root = folder.write(tmp_path, told)
    if beside != "images":
        (root / beside).mkdir(exist_ok=True)
        for file in (root / "images").iterdir():
            file.rename(root / beside / file.name)
        (root / "images").rmdir()
    data = load(root, images="train2017")
    assert data[0].original_size == (20, 30)
    truth = data.ground_truth()["annotations"]
    assert [(one["id"], one["area"], one["iscrowd"]) for one in truth] == [(1, 80, 0), (2, 80, 0), (3, 80, 0)]


TURNS = {  # EXIF orientation -> how stored pixels [h, w, 3] become those that are shown
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].transpose(1, 0, 2),
    8: lambda stored: np.rot90(stored),
}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize(("stored", "annotated"), [((20, 30), (20, 30)), ((20, 30), (30, 20)), ((24, 24), (24, 24))])
def test_exif_is_honoured_unless_the_annotated_size_is_that_of_the_stored_pixels(
    tmp_path: Path, orientation: int, stored: tuple[int, int], annotated: tuple[int, int]
) -> None:
    told = folder.content(1)
    told["images"][0].update(file_name="1.jpg", height=annotated[0], width=annotated[1])
    told["annotations"][0].update(bbox=[2, 2, 10, 8])
    root = folder.write(tmp_path, told)
    exif = Image.Exif()
    exif[0x0112] = orientation
    folder.save(root / "images/1.jpg", *stored, exif=exif, quality=100)
    sideways = orientation >= 5
    if annotated != stored and not sideways:
        with pytest.raises(DatasetError, match="is 20 x 30 pixels"):
            load(root)
        return
    pixels = np.asarray(Image.open(root / "images/1.jpg"))
    as_stored = annotated == stored != annotated[::-1] and sideways
    shown = pixels if as_stored else TURNS[orientation](pixels)
    np.testing.assert_array_equal(load(root)[0].image.permute(1, 2, 0).numpy(), shown)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_every_colour_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    told = folder.content(1)
    told["images"][0]["file_name"] = "1.tif"
    root = folder.write(tmp_path, told)
    Image.new(mode, (30, 20)).save(root / "images/1.tif")
    assert load(root)[0].image.shape == (3, 20, 30)


def test_an_image_that_breaks_later_names_its_path(tmp_path: Path) -> None:
    data = load(folder.write(tmp_path, folder.content()))
    data.path(1).write_bytes(data.path(1).read_bytes()[:-40])
    with pytest.raises(ImageError, match=r"2\.png: cannot be decoded"):
        data[1]


def test_fingerprint_follows_the_content_not_the_formatting(tmp_path: Path) -> None:
    told = folder.content()
    first = load(folder.write(tmp_path, told)).fingerprint
    assert load(folder.write(tmp_path, json.dumps(told, indent=3))).fingerprint == first
    told["annotations"][0]["bbox"][0] = 3
    assert load(folder.write(tmp_path, told)).fingerprint != first


def test_annotations_travel_to_workers_as_arrays(tmp_path: Path, train: IndexedDataset) -> None:
    assert len(pickle.dumps(train)) < 600 * sum(map(len, (train.columns.labels, train)))
    assert pickle.loads(pickle.dumps(train))[3].boxes.equal(train[3].boxes)


def test_what_a_mirror_makes_of_keypoints() -> None:
    assert create_flip_indices(("nose", "left_eye", "right_eye", "left_foot")) == (0, 2, 1, 3)


def test_a_missing_root_says_what_is_expected_and_where_to_get_it() -> None:
    with pytest.raises(DatasetError) as caught:
        coco(annotations="annotations/instances_train2017.json", images="train2017")
    for part in (
        "dataset.root is not set",
        "train2017.zip",
        "18 GB",
        "dataset.root=<root>",
        "dataset.train.annotations",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"annotations": [folder.annotation(1, 10, iscrowd=1)]}, "an object that is no crowd"),
        ({"annotations": [folder.annotation(1, 10, bbox=[2, 2, 0, 0])]}, "1 annotations and 1 defects"),
    ],
)
def test_why_no_image_is_left_is_said(tmp_path: Path, change: dict[str, object], said: str) -> None:
    with pytest.raises(DatasetError, match=said):
        load(folder.write(tmp_path, folder.content() | change), filter_empty=True, on_defect="drop")


def test_a_dataset_whose_image_files_are_all_gone_says_so(tmp_path: Path) -> None:
    root = folder.write(tmp_path, folder.content())
    for path in (root / "images").iterdir():
        path.unlink()
    with pytest.raises(DatasetError, match=r"none of its 3 images in \S*images can be used"):
        load(root, filter_empty=True, on_defect="drop")
