from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lineage.data.collate import collate
from lineage.data.samples.sample import Sample
from lineage.data.transforms.context import Context
from lineage.data.transforms.geometry import AugmentError
from lineage.data.transforms.mixup import Mixup, mix
from lineage.data.transforms.sanitize import sanitize
from tests.data.samples import full, same


class Pair:
    """Two images of different size, ids 0 and 1."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Sample:
        sample = full(3, 30, 50) if index == 0 else full(2, 40, 40)
        return sample._replace(image_id=index, semantic=None, object_weights=None)


def at(step: int) -> Context:
    return Context(Pair(), step, seed=0, steps=20)  # type: ignore[arg-type]


def test_pixels_are_the_truncated_blend_and_boxes_stay() -> None:
    first, second = Pair()[0], Pair()[1]
    mixed = mix(first, second, 0.3)
    canvas = torch.zeros(2, 3, 40, 50)
    canvas[0, :, :30, :50] = first.image
    canvas[1, :, :40, :40] = second.image
    assert mixed.image.equal((canvas[0] * 0.3 + canvas[1] * 0.7).to(torch.uint8))
    assert mixed.boxes.equal(torch.cat([first.boxes.as_subclass(Tensor), second.boxes.as_subclass(Tensor)]))
    assert mixed.boxes.canvas_size == mixed.masks.canvas_size == (40, 50)
    assert mixed.labels.tolist() == [0, 1, 2, 0, 1]
    assert mixed.object_weights.tolist() == pytest.approx([0.3] * 3 + [0.7] * 2)
    assert mixed.masks.dense()[:3, :30].equal(first.masks.dense())
    assert mixed.masks.dense()[3:, :, :40].equal(second.masks.dense())
    assert mixed.keypoints[3:].equal(second.keypoints)
    assert mixed.visibility.shape == (5, 5)


def test_proposals_of_both_alternate_best_first() -> None:
    first, second = Pair()[0], Pair()[1]
    proposals = mix(first, second, 0.5).proposals
    assert proposals[0:6:2].equal(first.proposals[:3])
    assert proposals[1:6:2].equal(second.proposals[:3])
    assert len(proposals) == len(first.proposals) + len(second.proposals)


def test_a_ratio_of_one_is_the_image_alone() -> None:
    first = Pair()[0]
    mixed = mix(first, Pair()[1], 1.0)
    assert mixed.object_weights.tolist() == [1, 1, 1]
    assert same(mixed._replace(object_weights=None), first)


def test_weights_multiply_when_mixed_twice() -> None:
    once = mix(Pair()[0], Pair()[1], 0.5)
    twice = mix(once, Pair()[1], 0.5)
    assert twice.object_weights.tolist() == [0.25] * 5 + [0.5] * 2


def test_it_is_off_at_the_end_of_a_training() -> None:
    """The authors' trainings mix no images in the last 20 of 200 epochs."""
    transform = Mixup(alpha=1.5, beta=1.5, until=0.5)  # of 20 steps
    for step, objects in ((0, 5), (9, 5), (10, 3), (11, 3), (3, 5)):
        assert len(transform(Pair()[0], at(step)).labels) == objects


def test_a_step_is_no_part_of_a_training() -> None:
    with pytest.raises(ValueError, match="until=81000 is a part of the training"):
        Mixup(alpha=1.5, beta=1.5, until=81000)


def test_ratios_are_those_of_the_beta_distribution() -> None:
    transform = Mixup(alpha=1.5, beta=1.5, until=None)
    torch.manual_seed(0)
    ratios = torch.tensor([float(transform(Pair()[0], at(0)).object_weights[0]) for _ in range(300)])
    assert ratios.mean() == pytest.approx(0.5, abs=0.05)
    assert ratios.var() == pytest.approx(1 / 16, abs=0.015)  # ab / ((a + b)^2 (a + b + 1))


def test_mixed_samples_batch_with_weights() -> None:
    batch = collate([sanitize(mix(Pair()[0], Pair()[1], 0.25)), Pair()[1]], [0, 1])
    assert batch.targets.object_weights[0, :5].tolist() == [0.25] * 3 + [0.75] * 2
    assert batch.targets.object_weights[1, :2].tolist() == [1, 1]


def test_semantic_labels_cannot_be_blended() -> None:
    with pytest.raises(AugmentError, match="mixup cannot blend"):
        mix(full(2), full(3), 0.5)
