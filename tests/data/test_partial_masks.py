"""Masks on a part of the objects, and broken ones: a box model keeps every box, a mask model what it can use."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from lineage.cli.data.main import main
from lineage.data.annotations.indexed_dataset import IndexedDataset
from lineage.data.annotations.validate import DatasetError
from lineage.data.formats.coco import load
from lineage.data.transforms.sanitize import sanitize
from tests.data import folder

BROKEN = [
    [[2, 2, 12, 2]],
    [[2, 2, 12, 2, 12, 10, 2]],
    {"size": [30, 20], "counts": [600]},
    {"size": [20, 30], "counts": [5]},
    {"counts": "abc"},
    [2, 2, 12, 2, 12, 10],
]


def write(root: Path, segmentation: Any) -> Path:
    """Six images with an object each, every second one with this segmentation."""
    content = folder.content(6)
    for annotation in content["annotations"][1::2]:
        annotation["segmentation"] = segmentation
    return folder.write(root, content)


def count_after_loading(dataset: IndexedDataset) -> int:
    """Return the number of objects that training sees."""
    return sum(len(sanitize(dataset[i]).labels) for i in range(len(dataset)))


@pytest.mark.parametrize("absent", [None, []])
def test_masks_on_a_part_of_the_objects_stop_nothing(
    tmp_path: Path, absent: Any, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write(tmp_path, absent)
    dataset = load(root=str(root), annotations="train.json")
    boxes = dataset.resolve_partial_masks(needs_masks=False)
    assert count_after_loading(boxes) == count_after_loading(pickle.loads(pickle.dumps(boxes))) == 6
    assert boxes[0].masks is None
    assert "have no mask" not in caplog.text
    masks = dataset.resolve_partial_masks(needs_masks=True)
    assert count_after_loading(masks) == count_after_loading(pickle.loads(pickle.dumps(masks))) == 3
    assert [len(masks[i].labels) for i in range(6)] == [1, 0, 1, 0, 1, 0]
    assert "3 of 6 objects have no mask, and the model is trained without them" in caplog.text
    assert len({dataset.fingerprint, boxes.fingerprint, masks.fingerprint}) == 3
    assert main(["check", "--annotations", str(root / "train.json"), "--images", str(root / "images")]) == 0
    printed = capsys.readouterr().out
    assert "note: annotation without a mask among others that have one: 3" in printed
    assert "no defects" in printed


@pytest.mark.parametrize("segmentation", BROKEN)
def test_a_broken_mask_costs_the_mask_alone(tmp_path: Path, segmentation: Any) -> None:
    root = write(tmp_path, segmentation)
    with pytest.raises(DatasetError, match="3 defects"):
        load(root=str(root), annotations="train.json")
    dataset = load(root=str(root), annotations="train.json", on_defect="drop")
    assert count_after_loading(dataset.resolve_partial_masks(needs_masks=False)) == 6
    assert count_after_loading(dataset.resolve_partial_masks(needs_masks=True)) == 3
    truth = dataset.ground_truth()["annotations"]
    assert [bool(annotation["segmentation"]) for annotation in truth] == [True, False] * 3


def test_a_dataset_with_all_masks_or_none_is_the_same(tmp_path: Path) -> None:
    content = folder.content()
    dataset = load(root=str(folder.write(tmp_path / "all", content)), annotations="train.json")
    assert dataset.resolve_partial_masks(needs_masks=True) is dataset
    for annotation in content["annotations"]:
        annotation["segmentation"] = []
    dataset = load(root=str(folder.write(tmp_path / "none", content)), annotations="train.json")
    assert dataset.resolve_partial_masks(needs_masks=False) is dataset
