from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lineage.data.collate import collate
from lineage.data.samples.sample import Sample
from lineage.data.transforms.geometry import AugmentError
from lineage.data.transforms.mixup import Mixup, mix
from lineage.data.transforms.resize_flip import bind, clean
from lineage.data.transforms.two_images import partner
from tests.data.test_geometry import full
from tests.data.test_resize_flip import same


class Pair:
    """Two images of different size, ids 0 and 1."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Sample:
        sample = full(3, 30, 50) if index == 0 else full(2, 40, 40)
        return sample._replace(image_id=index, semantic=None, object_weights=None)


def test_pixels_are_the_truncated_blend_and_boxes_stay() -> None:
    one, two = Pair()[0], Pair()[1]
    mixed = mix(one, two, 0.3)
    canvas = torch.zeros(2, 3, 40, 50)
    canvas[0, :, :30, :50] = one.image
    canvas[1, :, :40, :40] = two.image
    assert mixed.image.equal((canvas[0] * 0.3 + canvas[1] * 0.7).to(torch.uint8))
    assert mixed.boxes.equal(torch.cat([one.boxes.as_subclass(Tensor), two.boxes.as_subclass(Tensor)]))
    assert mixed.boxes.canvas_size == mixed.masks.canvas_size == (40, 50)
    assert mixed.labels.tolist() == [0, 1, 2, 0, 1]
    assert mixed.object_weights.tolist() == pytest.approx([0.3] * 3 + [0.7] * 2)
    assert mixed.masks.dense()[:3, :30].equal(one.masks.dense())
    assert mixed.masks.dense()[3:, :, :40].equal(two.masks.dense())
    assert mixed.keypoints[3:].equal(two.keypoints)
    assert mixed.visibility.shape == (5, 5)


def test_proposals_of_both_alternate_best_first() -> None:
    one, two = Pair()[0], Pair()[1]
    proposals = mix(one, two, 0.5).proposals
    assert proposals[0:6:2].equal(one.proposals[:3])
    assert proposals[1:6:2].equal(two.proposals[:3])
    assert len(proposals) == len(one.proposals) + len(two.proposals)


def test_a_share_of_one_is_the_image_alone() -> None:
    one = Pair()[0]
    mixed = mix(one, Pair()[1], 1.0)
    assert mixed.object_weights.tolist() == [1, 1, 1]
    assert same(mixed._replace(object_weights=None), one)


def test_weights_multiply_when_mixed_twice() -> None:
    once = mix(Pair()[0], Pair()[1], 0.5)
    twice = mix(once, Pair()[1], 0.5)
    assert twice.object_weights.tolist() == [0.25] * 5 + [0.5] * 2


def test_it_ends_at_its_step() -> None:
    transform = Mixup(alpha=1.5, beta=1.5, until_step=10)
    bind(transform, Pair())
    for step, objects in ((0, 5), (9, 5), (10, 3), (11, 3), (3, 5)):
        transform.at(step, 0)
        assert len(transform(Pair()[0]).labels) == objects


def test_shares_are_those_of_the_beta_distribution() -> None:
    transform = Mixup(alpha=1.5, beta=1.5, until_step=None)
    bind(transform, Pair())
    torch.manual_seed(0)
    shares = torch.tensor([float(transform(Pair()[0]).object_weights[0]) for _ in range(300)])
    assert shares.mean() == pytest.approx(0.5, abs=0.05)
    assert shares.var() == pytest.approx(1 / 16, abs=0.015)  # ab / ((a + b)^2 (a + b + 1))


def test_the_partner_is_another_image() -> None:
    torch.manual_seed(0)
    assert {partner(Pair(), Pair()[0]).image_id for _ in range(20)} == {1}


def test_mixed_samples_batch_with_weights() -> None:
    batch = collate([clean(mix(Pair()[0], Pair()[1], 0.25)), Pair()[1]], [0, 1])
    assert batch.targets.object_weights[0, :5].tolist() == [0.25] * 3 + [0.75] * 2
    assert batch.targets.object_weights[1, :2].tolist() == [1, 1]


def test_semantic_labels_cannot_be_blended() -> None:
    with pytest.raises(AugmentError, match="mixup cannot blend"):
        mix(full(2), full(3), 0.5)


def test_an_unbound_transform_says_so() -> None:
    with pytest.raises(AugmentError, match="bind"):
        Mixup(alpha=1.5, beta=1.5, until_step=None)(Pair()[0])
