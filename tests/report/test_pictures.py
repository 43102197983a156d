"""The sheet of a run: one row per image with objects, truth and prediction side by side."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as rle
from torchvision import tv_tensors as tv

from lineage.data.samples.metadata import DatasetMeta
from lineage.data.samples.sample import Sample
from lineage.data.shapes.dataset import Shapes
from lineage.report.pictures import (
    PANEL,
    mark_predictions,
    mark_truth,
    record_areas,
    save_predictions,
    split_areas,
    truth_areas,
)


class Squares:
    """Grey images with one annotated square each; every third image has none."""

    meta = DatasetMeta(("disc", "square"), (7, 9))
    fingerprint = "squares"
    sizes = torch.tensor([[30, 40]] * 9)

    def __len__(self) -> int:
        return 9

    def __getitem__(self, index: int) -> Sample:
        count = 1 if index % 3 else 0
        boxes = tv.BoundingBoxes(torch.tensor([[5.0, 6.0, 25.0, 20.0]] * count).reshape(-1, 4), format="XYXY",
                                 canvas_size=(30, 40))  # fmt: skip
        return Sample(
            image=tv.Image(torch.full((3, 30, 40), 128, dtype=torch.uint8)),
            boxes=boxes,
            labels=torch.ones(count, dtype=torch.int64),
            crowd=torch.zeros(count, dtype=torch.bool),
            masks=None,
            keypoints=tv.KeyPoints(torch.tensor([[[8.0, 9.0], [1.0, 1.0]]] * count).reshape(-1, 2, 2),
                                   canvas_size=(30, 40)),
            visibility=torch.tensor([[2, 0]] * count).reshape(-1, 2),
            image_id=100 + index,
            original_size=(30, 40),
        )  # fmt: skip

    def ground_truth(self) -> dict[str, Any]:
        raise NotImplementedError


def record(image: int, score: float) -> dict[str, Any]:
    return {"image_id": image, "category_id": 9, "score": score, "bbox": [5, 6, 20, 14]}


def test_one_row_per_image_with_objects(tmp_path: Path) -> None:
    path = save_predictions(Squares(), [record(101, 0.9)], tmp_path / "sheet.png", count=3)
    assert path is not None
    picture = Image.open(path)
    assert picture.width > 2 * PANEL[0]
    assert 3 * PANEL[0] * 30 / 40 < picture.height < 4 * PANEL[0] * 30 / 40


def test_the_prediction_side_shows_the_prediction(tmp_path: Path) -> None:
    with_one = save_predictions(Squares(), [record(101, 0.9)], tmp_path / "one.png", count=1)
    without = save_predictions(Squares(), [record(101, 0.4)], tmp_path / "none.png", count=1)
    assert with_one is not None
    assert without is not None
    one, none = np.array(Image.open(with_one)), np.array(Image.open(without))
    changed = np.flatnonzero((one != none).any((0, 2)))
    assert changed.min() > one.shape[1] // 2, "the truth on the left is the same"


def test_marks_say_what_and_how_sure() -> None:
    stuff = record(101, 0.9) | {"category_id": 12345}
    (mark,) = mark_predictions([record(101, 0.875), record(101, 0.1), stuff], Squares.meta)
    assert mark.text == "square 0.88"
    assert mark.box == (5, 6, 25, 20)
    (truth,) = mark_truth(Squares()[1], Squares.meta)
    assert truth.text == "square"
    assert truth.keypoints == ((8.0, 9.0),), "the keypoint nobody labelled is not drawn"


def test_a_bone_needs_both_its_ends() -> None:
    seen = record(101, 0.9) | {"keypoints": [1, 2, 9.0, 3, 4, 9.0]}
    (mark,) = mark_predictions([seen], Squares.meta)
    assert (mark.keypoints, mark.skeleton) == (((1.5, 2.5), (3.5, 4.5)), ()), "no skeleton is known"
    joined = replace(Squares.meta, skeleton=((0, 1), (1, 2)))
    (mark,) = mark_predictions([seen], joined)
    assert mark.skeleton == (((1.5, 2.5), (3.5, 4.5)),)
    (truth,) = mark_truth(Squares()[1], joined)
    assert truth.skeleton == (), "the other end is not labelled"


def test_areas_of_stuff_have_its_names() -> None:
    shapes = Shapes(seed=0, length=1, stuff=True)
    semantic = shapes[0].semantic.numpy()
    drawn = truth_areas(shapes[0], shapes.meta)
    names = shapes.meta.stuff
    assert [area.text for area in drawn] == [names[label] for label in np.unique(semantic) if 0 < label < 255]
    assert all(np.array_equal(area.mask, semantic == names.index(area.text)) for area in drawn)
    assert split_areas(semantic, ()) == truth_areas(Squares()[1], Squares.meta) == []


def test_records_of_stuff_are_areas_and_those_of_things_are_not() -> None:
    shapes = Shapes(seed=0, length=1, stuff=True)
    mask = rle.encode(np.asfortranarray(np.ones((30, 40), np.uint8)))
    stuff, thing = ({"category_id": number, "segmentation": mask} for number in (shapes.meta.stuff_ids[2], 1))
    (area,) = record_areas([thing, stuff], shapes.meta)
    assert (area.text, area.mask.all()) == (shapes.meta.stuff[3], True)
    assert record_areas([thing, stuff], Squares.meta) == []


def test_a_dataset_without_objects_has_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Squares, "__len__", lambda self: 1)
    assert save_predictions(Squares(), [], tmp_path / "sheet.png") is None
