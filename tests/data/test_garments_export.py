"""Drawn garments written as DeepFashion2 and loaded back: classes, masks, and landmarks in slots of their class."""

from __future__ import annotations

from pathlib import Path

import torch

from lineage.data.export import deepfashion2 as write_deepfashion2
from lineage.data.formats import deepfashion2
from lineage.data.shapes.garments import Garments
from tests.data.test_round_trip import same_boxes, same_masks


def test_garments_in_the_layout_of_deepfashion2(tmp_path: Path) -> None:
    """Each class is that of its name; landmarks come back in slots that a mirror image swaps as it does theirs."""
    drawn = Garments(seed=3, length=4)
    write_deepfashion2.write(drawn, tmp_path, "val")
    loaded = deepfashion2.load(image_set="validation", root=str(tmp_path))
    categories = write_deepfashion2.assign_categories(drawn)
    slot_of = {}
    for label, category_id in enumerate(drawn.meta.category_ids):
        offset = deepfashion2.OFFSETS[categories[category_id] - 1]
        places = write_deepfashion2.place_keypoints(drawn.meta, label, categories[category_id])
        slot_of |= {slot: offset + landmark for slot, landmark in places.items()}
    assert len(slot_of) == len({*slot_of.values()}) == len(drawn.meta.keypoints)
    for slot, place in slot_of.items():
        assert slot_of[drawn.meta.flip_indices[slot]] == loaded.meta.flip_indices[place]
    for index in range(len(drawn)):
        first, second = drawn[index], loaded[index]
        same_boxes(first, second, ~first.crowd)
        same_masks(first, second, ~first.crowd)
        assert [loaded.meta.classes[label] for label in second.labels] == [drawn.meta.classes[i] for i in first.labels]
        assert first.visibility is not None
        assert first.keypoints is not None
        assert second.visibility is not None
        assert second.keypoints is not None
        own, places = torch.tensor([*slot_of]), torch.tensor([*slot_of.values()])
        assert second.visibility[:, places].equal(first.visibility[:, own])
        assert second.visibility.sum() == first.visibility.sum() > 0
        labelled = first.visibility[:, own] > 0
        assert second.keypoints[:, places][labelled].equal(first.keypoints[:, own][labelled].floor() + 0.5)


def test_landmarks_of_garments_are_those_of_deepfashion2() -> None:
    """In its files the lower number of a pair lies left in the image, on the right of the wearer."""
    names = ("short_sleeve_top_neck_right", "short_sleeve_top_neck_left", "short_sleeve_top_neck_middle",
             "trousers_crotch", "trousers_waist_middle", "trousers_waist_right", "skirt_hem_middle",
             "vest_dress_hem_middle")  # fmt: skip
    drawn, numbers = Garments(seed=3, length=1), []
    for name in names:
        slot = drawn.meta.keypoints.index(name)
        label = next(label for label in range(5) if slot in drawn.meta.keypoint_slots(label))
        category = deepfashion2.CLASSES.index(drawn.meta.classes[label]) + 1
        numbers.append(write_deepfashion2.place_keypoints(drawn.meta, label, category)[slot] + 1)
    assert numbers == [2, 6, 1, 9, 2, 1, 6, 13]
