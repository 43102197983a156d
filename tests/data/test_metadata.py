"""Metadata goes through every wrapper whole: a mirrored image renames left and right keypoints in all of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from lineage.data.concat import ConcatDataset
from lineage.data.formats import coco, panoptic
from lineage.data.proposals.jittered import JitteredProposals
from lineage.data.proposals.source import WithProposals
from lineage.data.pseudo_labelled import PseudoLabelled
from lineage.data.samples.dataset import Dataset
from lineage.data.samples.metadata import DatasetMeta, parse_meta
from lineage.data.shapes.dataset import Shapes
from lineage.data.shapes.outlines import FLIP_INDICES
from lineage.data.transforms.context import Context
from lineage.data.transforms.flip import RandomFlip
from tests.data import folder

LEFT_EYE, RIGHT_EYE = 1, 2


def shapes() -> Shapes:
    return Shapes(seed=3, length=4, size=64, only=["figure"], objects=3.0, scales=[0.3, 0.9], crowds=0.0)


def with_proposals(tmp_path: Path) -> Dataset:
    source = partial(JitteredProposals, copies=1, random=1, shift=0.1, recall=1.0)
    return WithProposals(shapes(), source=source, top_k=5)


def concatenated(tmp_path: Path) -> Dataset:
    return ConcatDataset([shapes(), shapes()])


def pseudo_labelled(tmp_path: Path) -> Dataset:
    (tmp_path / "labels.json").write_text(json.dumps(shapes().ground_truth()))
    return PseudoLabelled(shapes(), path=str(tmp_path / "labels.json"), filter_empty=True, min_keypoints=1)


def panoptic_things(tmp_path: Path) -> Dataset:
    content = folder.content()
    content["categories"][1] |= {"keypoints": ["nose", "left_eye", "right_eye"]}
    content["annotations"][0] |= {"keypoints": [3, 3, 2, 9, 9, 2, 5, 5, 2]}
    things = coco.load(root=str(folder.write(tmp_path, content)), annotations="train.json")
    return panoptic.PanopticDataset(things, tmp_path, tmp_path / "train.json")


WRAPPERS: list[Callable[[Path], Dataset]] = [with_proposals, concatenated, pseudo_labelled]


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_a_mirrored_image_renames_keypoints_in_every_wrapper(wrap: Callable[[Path], Dataset], tmp_path: Path) -> None:
    dataset = wrap(tmp_path)
    flip, context = RandomFlip(p=1.0), Context(dataset, step=0, seed=0)
    for index in range(len(dataset)):
        sample = dataset[index]
        mirrored = flip(sample, context)
        assert sample.keypoints is not None
        width = sample.image.shape[-1]
        assert torch.equal(mirrored.keypoints[:, LEFT_EYE, 0], width - sample.keypoints[:, RIGHT_EYE, 0])
        assert torch.equal(mirrored.visibility[:, LEFT_EYE], sample.visibility[:, RIGHT_EYE])


@pytest.mark.parametrize("wrap", [*WRAPPERS, panoptic_things])
def test_wrappers_offer_all_that_a_dataset_has(wrap: Callable[[Path], Any], tmp_path: Path) -> None:
    dataset = wrap(tmp_path)
    missing = [name for name in (*Dataset.__annotations__, *vars(Dataset)) if not hasattr(dataset, name)]
    assert not [name for name in missing if not name.startswith("_")]
    assert dataset.meta.flip_indices[:3] == (0, 2, 1)
    assert sum(dataset.part_lengths) == len(dataset) == len(dataset.ids) == len(dataset.sizes)
    labels = dataset.object_labels()
    assert len(labels.images) == len(labels.labels) > 0
    assert set(labels.images.tolist()) <= set(range(len(dataset)))


def test_labels_of_a_concatenation_are_those_of_its_parts() -> None:
    one, both = shapes().object_labels(), ConcatDataset([shapes(), shapes()]).object_labels()
    assert both.images.tolist() == [*one.images.tolist(), *(one.images + 4).tolist()]
    assert both.labels.tolist() == [*one.labels.tolist()] * 2


def test_a_concatenation_has_no_metadata_of_what_a_part_lacks(tmp_path: Path) -> None:
    content = shapes().ground_truth()
    content["annotations"] = [
        {name: value for name, value in one.items() if "keypoints" not in name} for one in content["annotations"]
    ]
    (tmp_path / "labels.json").write_text(json.dumps(content))
    boxes = PseudoLabelled(shapes(), path=str(tmp_path / "labels.json"), filter_empty=True, min_keypoints=0)
    both = ConcatDataset([shapes(), boxes])
    assert both[0].keypoints is None
    assert both.meta == DatasetMeta(shapes().meta.classes, shapes().meta.category_ids)


def test_keypoints_need_the_permutation_of_a_mirrored_image() -> None:
    with pytest.raises(ValueError, match="3 keypoints and 0 flip_indices: each keypoint needs"):
        DatasetMeta(("person",), (1,), keypoints=("nose", "left_eye", "right_eye"))


def test_metadata_is_read_from_json_of_other_versions() -> None:
    old = {"classes": ["cat"], "category_ids": [7]}
    assert parse_meta(old) == DatasetMeta(("cat",), (7,))
    assert parse_meta(old | {"skeleton": [[0, 1]], "colours": [1]}) == DatasetMeta(("cat",), (7,), skeleton=((0, 1),))


def test_figures_are_mirrored_by_the_names_of_their_keypoints() -> None:
    assert shapes().meta.flip_indices == FLIP_INDICES
