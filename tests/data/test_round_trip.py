"""`shapes` written in every layout and loaded back: the same images, boxes, masks, keypoints, or as near as it allows.

layout        what it cannot keep
coco          nothing
lvis          crowds: they become "not exhaustively annotated"
panoptic      keypoints; crowds and overlaps keep their pixels
cityscapes    keypoints; crowds lose their number. From polygons, masks grow by the official drawing: see the test
voc           keypoints; crowds are difficult objects without a mask
penn_fudan    classes, crowds, keypoints
deepfashion2  crowds; keypoints are landmarks of a class that has as many
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from pycocotools import mask as rle
from torch import Tensor

from lineage.data.export import cityscapes as write_cityscapes
from lineage.data.export import coco as write_coco
from lineage.data.export import deepfashion2 as write_deepfashion2
from lineage.data.export import lvis as write_lvis
from lineage.data.export import panoptic as write_panoptic
from lineage.data.export import penn_fudan as write_penn_fudan
from lineage.data.export import voc as write_voc
from lineage.data.formats import cityscapes, coco, deepfashion2, lvis, panoptic, penn_fudan, voc
from lineage.data.samples.dataset import Dataset
from lineage.data.samples.sample import Sample
from lineage.data.shapes.dataset import Shapes

Pair = tuple[Sample, Sample, Tensor]  # as drawn, as loaded, which of the drawn objects should be back


@pytest.fixture(scope="module")
def drawn() -> Shapes:
    return Shapes(seed=5, length=10, crowds=0.6, size=[[96, 128], [128, 112]])


def pairs(drawn: Shapes, loaded: Dataset, crowds: bool) -> Iterator[Pair]:
    assert len(loaded) == len(drawn)
    assert loaded.sizes.equal(drawn.sizes)
    for index in range(len(drawn)):
        first, second = drawn[index], loaded[index]
        keep = torch.ones_like(first.crowd) if crowds else ~first.crowd
        assert len(second.labels) == keep.sum()
        assert second.image.equal(first.image)
        assert second.original_size == first.original_size
        yield first, second, keep


def same_masks(first: Sample, second: Sample, keep: Tensor) -> None:
    """Of what is no crowd; a loader leaves crowds undrawn."""
    assert first.masks is not None
    assert second.masks is not None
    assert second.masks.dense()[~second.crowd].equal(first.masks.dense()[keep & ~first.crowd])


def same_keypoints(first: Sample, second: Sample, keep: Tensor) -> None:
    assert first.keypoints is not None
    assert first.visibility is not None
    assert second.keypoints is not None
    assert second.visibility is not None
    labelled = first.visibility[keep] > 0
    joints = labelled.shape[1]
    assert (second.visibility[:, :joints] > 0).equal(labelled)
    assert second.keypoints[:, :joints][labelled].equal(first.keypoints[keep][labelled].floor() + 0.5)


def same_labels(first: Sample, second: Sample, keep: Tensor) -> None:
    assert second.labels.equal(first.labels[keep])
    assert second.crowd.equal(first.crowd[keep])


def same_boxes(first: Sample, second: Sample, keep: Tensor) -> None:
    assert second.boxes.equal(first.boxes[keep])


def truth_masks(data: Dataset) -> list[np.ndarray]:
    """Of all annotations in their order, crowds included."""
    truth = data.ground_truth()
    sizes = {one["id"]: (one["height"], one["width"]) for one in truth["images"]}
    found = []
    for one in truth["annotations"]:
        code = one["segmentation"]
        if isinstance(code, list):
            code = rle.merge(rle.frPyObjects(code, *sizes[one["image_id"]]))
        elif isinstance(code["counts"], list):
            code = rle.frPyObjects(code, *sizes[one["image_id"]])
        found.append(rle.decode(code).astype(bool))
    return found


@pytest.mark.parametrize("outlined", [False, True])
def test_coco(drawn: Shapes, tmp_path: Path, outlined: bool) -> None:
    write_coco.write(drawn, tmp_path, "train", suffix="png", polygons=outlined)
    loaded = coco.load(root=str(tmp_path), annotations="annotations/instances_train2017.json", images="train2017")
    assert loaded.meta.classes == drawn.meta.classes
    assert loaded.meta.keypoints == drawn.meta.keypoints
    assert loaded.meta.flip_indices == drawn.meta.flip_indices
    for first, second, keep in pairs(drawn, loaded, crowds=True):
        same_labels(first, second, keep)
        same_boxes(first, second, keep)
        same_masks(first, second, keep)
        same_keypoints(first, second, keep)
    assert all(np.array_equal(a, b) for a, b in zip(truth_masks(drawn), truth_masks(loaded), strict=True))


@pytest.mark.parametrize("outlined", [False, True])
def test_lvis(drawn: Shapes, tmp_path: Path, outlined: bool) -> None:
    write_lvis.write(drawn, tmp_path, "val", suffix="png", polygons=outlined)
    loaded = lvis.load(root=str(tmp_path), annotations="annotations/lvis_v1_val.json")
    assert set(loaded.meta.frequencies) <= {"r", "c", "f"}
    seen = torch.cat([drawn[i].labels[~drawn[i].crowd].unique() for i in range(len(drawn))])
    assert loaded.meta.image_counts == tuple(seen.bincount(minlength=len(drawn.meta.classes)).tolist())
    for first, second, keep in pairs(drawn, loaded, crowds=False):
        same_labels(first, second, keep)
        same_boxes(first, second, keep)
        same_masks(first, second, keep)
    assert all("neg_category_ids" in one for one in loaded.ground_truth()["images"])


@pytest.mark.parametrize("ground", [False, True])
def test_panoptic(drawn: Shapes, tmp_path: Path, ground: bool) -> None:
    if ground:
        drawn = Shapes(seed=5, length=6, crowds=0.6, size=[96, 128], stuff=True)
    write_panoptic.write(drawn, tmp_path, "val", suffix="png")
    loaded = panoptic.load(root=str(tmp_path), annotations="annotations/panoptic_val2017.json", images="val2017")
    assert loaded.meta.classes == drawn.meta.classes
    for first, second, keep in pairs(drawn, loaded, crowds=True):
        same_labels(first, second, keep)
        same_boxes(first, second, keep)
        same_masks(first, second, keep)
        assert first.masks is not None
        assert second.semantic is not None
        things = first.masks.dense().any(0).bool()
        assert second.semantic.eq(0).equal(things)
        if first.semantic is not None:
            assert first.semantic[~things].equal(second.semantic[~things])
    assert all(np.array_equal(a, b) for a, b in zip(truth_masks(drawn), truth_masks(loaded), strict=True))
    panoptic_truth = loaded.ground_truth()["panoptic"]
    assert len(panoptic_truth["annotations"]) == len(drawn)


def test_cityscapes(drawn: Shapes, tmp_path: Path) -> None:
    write_cityscapes.write(drawn, tmp_path, "val")
    things = {name: 24 + label for label, name in enumerate(drawn.meta.classes)}
    loaded = cityscapes.load(image_set="val", root=str(tmp_path), classes=things)
    for index in range(len(drawn)):
        first, second = drawn[index], loaded[index]
        keep, counted = ~first.crowd, ~second.crowd
        assert second.image.equal(first.image)
        order = first.labels[keep].argsort(stable=True)  # the ids of the objects grow with their class
        assert second.labels[counted].equal(first.labels[keep][order])
        assert second.boxes[counted].equal(first.boxes[keep][order])
        assert first.masks is not None
        assert second.masks is not None
        assert second.masks.dense()[counted].equal(first.masks.dense()[keep][order])


def test_cityscapes_groups_are_crowds(drawn: Shapes, tmp_path: Path) -> None:
    write_cityscapes.write(drawn, tmp_path, "val")
    things = {name: 24 + label for label, name in enumerate(drawn.meta.classes)}
    truth = cityscapes.load(image_set="val", root=str(tmp_path), classes=things).ground_truth()
    for number in range(1, len(drawn) + 1):
        scene = drawn.draw_scene(number - 1)
        inside = np.zeros(scene.masks.shape[1:], bool)
        for one in truth["annotations"]:
            if one["image_id"] == number and one["iscrowd"]:
                inside |= rle.decode(one["segmentation"]).astype(bool)
        assert np.array_equal(inside, scene.masks[scene.crowd].any(0))
        assert Path(truth["images"][number - 1]["instance_ids"]).is_file()


def test_penn_fudan(drawn: Shapes, tmp_path: Path) -> None:
    write_penn_fudan.write(Shapes(seed=9, length=3, size=[64, 64]), tmp_path, "train")
    write_penn_fudan.write(drawn, tmp_path, "val")
    loaded = penn_fudan.load(image_set="val", held_out=len(drawn), root=str(tmp_path))
    assert loaded.meta.classes == ("person",)
    for first, second, keep in pairs(drawn, loaded, crowds=False):
        same_boxes(first, second, keep)
        same_masks(first, second, keep)
    assert len(penn_fudan.load(image_set="train", held_out=len(drawn), root=str(tmp_path))) == 3


def test_deepfashion2(drawn: Shapes, tmp_path: Path) -> None:
    write_deepfashion2.write(drawn, tmp_path, "val")
    loaded = deepfashion2.load(image_set="validation", root=str(tmp_path))
    places = write_deepfashion2.assign_categories(drawn)
    labels = torch.tensor([places[category] - 1 for category in drawn.meta.category_ids])
    assert len(loaded.meta.keypoints) == 294
    for index in range(len(drawn)):  # the layout is JPEG, so pixels are near and not equal
        first, second = drawn[index], loaded[index]
        keep = ~first.crowd
        assert second.labels.equal(labels[first.labels[keep]])
        same_boxes(first, second, keep)
        same_masks(first, second, keep)
        assert first.visibility is not None
        assert first.keypoints is not None
        assert second.visibility is not None
        assert second.keypoints is not None
        for row, old in enumerate(keep.nonzero()[:, 0].tolist()):
            at = deepfashion2.OFFSETS[int(second.labels[row])]
            known = first.visibility[old] > 0
            assert second.visibility[row].sum() == first.visibility[old].sum()
            span = slice(at, at + len(known))
            if known.any():
                assert second.visibility[row, span].equal(first.visibility[old])
                assert second.keypoints[row, span][known].equal(first.keypoints[old][known].floor() + 0.5)


@pytest.mark.parametrize("masks", [False, True])
def test_voc(drawn: Shapes, tmp_path: Path, masks: bool) -> None:
    write_voc.write(drawn, tmp_path, "val", suffix="png")
    loaded = voc.load(image_sets=["VOC2012/val"], root=str(tmp_path), classes=drawn.meta.classes, masks=masks)
    for first, second, keep in pairs(drawn, loaded, crowds=True):
        same_labels(first, second, keep)
        same_boxes(first, second, keep)
        if masks:
            same_masks(first, second, keep)
        else:
            assert second.masks is None
    notes = loaded.ground_truth()["annotations"]
    assert [one["difficult"] for one in notes] == [one["iscrowd"] for one in drawn.ground_truth()["annotations"]]


@pytest.mark.parametrize(("difficult", "objects", "crowds"), [("crowd", True, True), ("keep", True, False),
                                                              ("drop", False, False)])  # fmt: skip
def test_voc_difficult_objects(drawn: Shapes, tmp_path: Path, difficult: str, objects: bool, crowds: bool) -> None:
    write_voc.write(drawn, tmp_path, "val")
    loaded = voc.load(image_sets=["VOC2012/val"], root=str(tmp_path), classes=drawn.meta.classes, difficult=difficult)
    for index in range(len(drawn)):
        crowd = drawn[index].crowd
        expected = crowd if crowds else torch.zeros_like(crowd)
        assert loaded[index].crowd.equal(expected if objects else expected[~crowd])


def test_cityscapes_from_polygons_within_the_pixel_that_drawing_adds(tmp_path: Path) -> None:
    """The official script draws outlines with Pillow, which includes the pixels on the line: of our outlines along
    pixel edges, one row at the bottom and one column at the right more, and what a later object draws over is lost."""
    drawn = Shapes(seed=5, length=6, crowds=0.0, size=[96, 128])
    write_cityscapes.write(drawn, tmp_path, "val")
    for file in (tmp_path / "gtFine").rglob("*_instanceIds.png"):
        file.unlink()
    things = {name: 24 + label for label, name in enumerate(drawn.meta.classes)}
    loaded = cityscapes.load(image_set="val", root=str(tmp_path), classes=things)
    for index in range(len(drawn)):
        first, second = drawn[index], loaded[index]
        assert first.masks is not None
        assert second.masks is not None
        union = first.masks.dense().any(0)
        drawn_union = second.masks.dense().any(0)
        assert not (union & ~drawn_union).any()
        grown = torch.nn.functional.max_pool2d(union[None, None].float(), 3, 1, 1)[0, 0].bool()
        assert not (drawn_union & ~grown).any()
