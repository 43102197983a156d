"""The images of an epoch: shuffled, by repeat factors, by class, of two datasets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice

import numpy as np
import pytest
import torch

from lineage.config.schema import Data, Schedule
from lineage.data.collate import collate
from lineage.data.datamodule import DetectionData, StepBatchSampler
from lineage.data.samples.dataset import ObjectLabels, read_object_labels
from lineage.data.sampling.class_aware import ClassAwareSampler
from lineage.data.sampling.class_presence import Presence, find_presence
from lineage.data.sampling.order import IndexSampler, ShuffleSampler, StepOrder
from lineage.data.sampling.ratio import RatioSampler
from lineage.data.sampling.repeat_factor import RepeatFactorSampler, compute_repeat_factors
from lineage.data.shapes.dataset import Shapes
from lineage.data.transforms.augment import Augment


class Labelled:
    """Images of which only the labels matter."""

    def __init__(self, labels: Sequence[Sequence[int]]) -> None:
        self.labels = labels
        self.part_lengths = len(labels[:6]), len(labels[6:])  # as a union has them
        self.sizes = torch.tensor([(40, 60) if i % 3 else (60, 40) for i in range(len(labels))])

    def __len__(self) -> int:
        return len(self.labels)

    def object_labels(self) -> ObjectLabels:
        pairs = [(i, label) for i, labels in enumerate(self.labels) for label in labels]
        return ObjectLabels(*np.array(pairs, np.int64).reshape(-1, 2).T)


COMMON = Labelled([[0, 0], [0], [], [0, 1], [0], [0, 1, 1], [0], [0], [2, 0], [0]])


def test_presence_counts_a_class_once_per_image() -> None:
    presence = find_presence(COMMON)
    assert np.bincount(presence.labels).tolist() == [9, 2, 1]
    assert presence.images[presence.labels == 1].tolist() == [3, 5]


def test_labels_of_a_ground_truth_are_those_of_its_objects() -> None:
    notes = [{"image_id": 30, "category_id": 4}, {"image_id": 10, "category_id": 1}, {"image_id": 30, "category_id": 4}]
    labels = read_object_labels({"images": [{"id": 10}, {"id": 20}, {"id": 30}], "annotations": notes}, (1, 3, 4))
    assert list(zip(labels.images.tolist(), labels.labels.tolist(), strict=True)) == [(2, 2), (0, 0), (2, 2)]


def test_repeat_factors_are_those_of_the_paper() -> None:
    factors = compute_repeat_factors(find_presence(COMMON), len(COMMON), 0.4)  # f = 0.9, 0.2, 0.1
    rare, rarest = np.sqrt(0.4 / 0.2), np.sqrt(0.4 / 0.1)
    assert factors == pytest.approx([1, 1, 1, rare, 1, rare, 1, 1, rarest, 1])


def test_repeat_factors_equal_a_loop_over_images() -> None:
    generator = np.random.default_rng(0)
    labels = [sorted(set(generator.zipf(1.5, 5).clip(max=40) - 1)) for _ in range(300)]
    pairs = [(i, label) for i, image in enumerate(labels) for label in image]
    frequency = {c: sum(c in image for image in labels) / 300 for c in range(40)}
    expected = [max([1.0, *(max(1.0, (0.05 / frequency[c]) ** 0.5) for c in image)]) for image in labels]
    assert compute_repeat_factors(Presence(*np.array(pairs).T), 300, 0.05) == pytest.approx(expected)


def test_fractions_are_rounded_by_chance_anew_each_epoch() -> None:
    sampling = RepeatFactorSampler(COMMON, 3, threshold=0.4)
    counts = np.array([np.bincount(sampling(epoch), minlength=10) for epoch in range(2000)])
    assert counts.mean(0) == pytest.approx(sampling.factors, abs=0.04)
    assert set(counts[:, 3]) == {1, 2}
    assert set(counts[:, 8]) == {2}
    assert not np.array_equal(sampling(0), sampling(1))


def test_class_aware_draws_every_class_equally_and_its_images_in_turn() -> None:
    labels = [[0]] * 80 + [[1]] * 19 + [[2, 1]] + [[]] * 20
    sampling = ClassAwareSampler(Labelled(labels), 5)
    drawn = sampling(0)
    assert len(drawn) == 120
    assert max(drawn) <= 99
    counts = np.bincount(drawn, minlength=100)
    assert counts[:80].sum() == 40
    assert counts[:80].max() == 1  # 40 draws from 80 images: none twice
    assert counts[99] >= 40
    assert counts[80:].sum() == 80


def test_class_aware_without_objects_says_what_to_choose() -> None:
    with pytest.raises(ValueError, match="sampling=shuffle"):
        ClassAwareSampler(Labelled([[], []]), 0)


class Both:
    """Two sets that are one, of which only the shapes matter."""

    def __init__(self, first: Sequence[int], second: Sequence[int]) -> None:
        self.part_lengths = len(first), len(second)
        self.sizes = torch.tensor([(60, 40) if tall else (40, 60) for tall in (*first, *second)])


BOTH = Both([0, 0, 1] * 40, [1, 0] * 15 + [0] * 170)  # 120 and 200 images; 15 of the second are tall


@pytest.mark.parametrize("images", [16, 10, 4])
def test_every_batch_is_mixed_at_the_ratio_and_of_one_shape(images: int) -> None:
    order = StepOrder(BOTH.sizes, images, RatioSampler(BOTH, 3, ratio=(6, 4)))
    steps = list(islice(order.iter_steps(), 300))
    first = [sum(index < 120 for index in step) for step in steps]
    assert set(first) <= {int(images * 0.6), -(-images * 6 // 10)}  # 16 images: 9 or 10 of the first set
    assert np.mean(first) == pytest.approx(images * 0.6, abs=0.02)
    tall = (BOTH.sizes[:, 0] > BOTH.sizes[:, 1]).tolist()
    assert all(len({tall[index] for index in step}) == 1 for step in steps)


def test_an_epoch_shows_the_first_set_once_and_goes_on_in_the_second() -> None:
    sampling = RatioSampler(BOTH, 5, ratio=(6, 4))
    epochs = [sampling(epoch) for epoch in range(6)]
    assert {len(epoch) for epoch in epochs} <= {199, 200, 201}
    for epoch in epochs:
        assert np.bincount(epoch[epoch < 120], minlength=120).tolist() == [1] * 120
    shown = np.bincount(np.concatenate(epochs), minlength=320)[120:]
    tall = (BOTH.sizes[:, 0] > BOTH.sizes[:, 1]).numpy()[120:]
    assert shown[tall].max() - shown[tall].min() <= 1  # six epochs ask for more tall ones than there are
    assert shown[~tall].max() - shown[~tall].min() <= 1
    assert shown.sum() == sum(map(len, epochs)) - 720


def test_where_one_set_has_but_one_shape_the_ratio_holds_over_all() -> None:
    sampling = RatioSampler(Both([0, 1, 0, 1], [0, 0]), 0, ratio=(1, 1))
    assert sorted(sampling(0)) == [0, 1, 2, 3, 4, 4, 5, 5]


def test_one_set_cannot_be_mixed() -> None:
    with pytest.raises(ValueError, match="dataset=coco_person_distilled has two"):
        RatioSampler(Shapes(seed=1, length=2), 0, ratio=(6, 4))


MAKERS = [
    ShuffleSampler,
    partial(RepeatFactorSampler, threshold=0.4),
    ClassAwareSampler,
    partial(RatioSampler, ratio=(6, 4)),
]


@pytest.mark.parametrize("make", MAKERS)
def test_an_epoch_is_a_function_of_the_seed_and_its_number(make: Callable[..., IndexSampler]) -> None:
    first, again, other = make(COMMON, 1), make(COMMON, 1), make(COMMON, 2)
    assert [first(e).tolist() for e in (0, 1, 2)] == [again(e).tolist() for e in (0, 1, 2)]
    assert [first(e).tolist() for e in (0, 1, 2)] != [other(e).tolist() for e in (0, 1, 2)]
    assert first(2).tolist() == make(COMMON, 1)(2).tolist()


@pytest.mark.parametrize("make", MAKERS)
def test_any_number_of_processes_and_any_resume_give_the_same_steps(
    make: Callable[..., IndexSampler],
) -> None:
    def draws(rank: int, world: int, start: int) -> list[list[tuple[int, int]]]:
        steps = StepBatchSampler(
            StepOrder(COMMON.sizes, 4, make(COMMON, 7)), 30, start, rank, world, images_per_device=4 // world
        )
        return list(steps)

    whole = draws(0, 1, 0)
    halves = [a + b for a, b in zip(draws(0, 2, 0), draws(1, 2, 0), strict=True)]
    assert halves == whole
    assert draws(0, 1, 17) == whole[17:]


def test_a_training_loader_shows_images_as_often_as_its_sampling_says() -> None:
    dataset = Shapes(seed=1, length=60, size=64)
    augment = Augment(train=torch.nn.Identity(), test=torch.nn.Identity(), collate=collate)
    schedule, data = Schedule(steps=300, images_per_step=4), Data(images_per_device=4, workers=0)
    module = DetectionData(dataset, dataset, augment, schedule, data, 0, partial(RepeatFactorSampler, threshold=0.5))
    indices = [index for batch in module.train_loader().batch_sampler for _, index in batch]
    expected = compute_repeat_factors(find_presence(dataset), 60, 0.5)
    assert expected.max() > 1.5
    assert np.bincount(indices, minlength=60) / len(indices) == pytest.approx(expected / expected.sum(), abs=0.006)
