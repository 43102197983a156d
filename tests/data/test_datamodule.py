from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Any

import pytest
import torch
from torch.utils._pytree import tree_leaves
from torchvision import tv_tensors as tv
from torchvision.transforms import v2

from lineage.config.schema import Data, Schedule
from lineage.data.collate import collate
from lineage.data.datamodule import DetectionData
from lineage.data.samples.image import ImageError
from lineage.data.samples.mask_crops import MaskCrops
from lineage.data.samples.metadata import DatasetMeta
from lineage.data.samples.sample import Sample
from lineage.data.sampling.order import ShuffleSampler, StepOrder, split_micro_batches, split_step
from lineage.data.transforms.augment import Augment
from lineage.data.transforms.flip import RandomFlip
from lineage.data.transforms.resize import ResizeShortestEdge
from lineage.structures import Batch


class Squares:
    """Plain images whose grey value is their index, some of them unreadable."""

    meta = DatasetMeta(("square",), (1,))
    fingerprint = "squares"

    def __init__(self, n: int, broken: Collection[int] = ()) -> None:
        self.broken = broken
        self.sizes = torch.tensor([(40, 60) if i % 3 else (60, 40) for i in range(n)])

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, index: int) -> Sample:
        if index in self.broken:
            raise ImageError(f"squares/{index}.png: cannot be decoded")
        height, width = self.sizes[index].tolist()
        boxes = torch.tensor([[2.0, 3.0, 12.0, 13.0]])
        mask = torch.zeros(1, height, width)
        mask[:, 3:13, 2:12] = 1
        return Sample(
            image=tv.Image(torch.full((3, height, width), index % 256, dtype=torch.uint8)),
            boxes=tv.BoundingBoxes(boxes, format="XYXY", canvas_size=(height, width)),
            labels=torch.zeros(1, dtype=torch.int64),
            crowd=torch.zeros(1, dtype=torch.bool),
            masks=MaskCrops.from_masks(mask),
            keypoints=None,
            visibility=None,
            image_id=index + 1000,
            original_size=(height, width),
        )

    def ground_truth(self) -> dict[str, Any]:
        return {}


def module(n: int = 40, per_step: int = 4, per_device: int = 4, steps: int = 10, **data: Any) -> DetectionData:
    transform = v2.Compose([ResizeShortestEdge([32, 48], 100), RandomFlip(p=0.5)])
    augment = Augment(train=transform, test=torch.nn.Identity(), collate=partial(collate, size_divisibility=32))
    schedule = Schedule(steps=steps, images_per_step=per_step)
    broken = data.pop("broken", ())
    config = Data(images_per_device=per_device, workers=data.pop("workers", 0), **data)
    return DetectionData(Squares(n, broken), Squares(n), augment, schedule, config, seed=7)


def order(dataset: Squares, images_per_step: int, seed: int = 0) -> StepOrder:
    return StepOrder(dataset.sizes, images_per_step, ShuffleSampler(dataset, seed))


def ids(batches: list[Batch]) -> list[int]:
    return [i for batch in batches for i in batch.ids.tolist()]


def equal(a: list[Batch], b: list[Batch]) -> bool:
    pairs = zip(tree_leaves(a), tree_leaves(b), strict=True)
    return all((x is None and y is None) or x.equal(y) for x, y in pairs)


def test_each_epoch_shows_every_image_once_or_leaves_it_to_the_next() -> None:
    steps = order(Squares(40), 4).iter_steps()
    counts = torch.tensor([next(steps) for _ in range(100)]).flatten().bincount()
    assert counts.min() >= 8
    assert counts.max() <= 12


def test_a_step_has_one_orientation() -> None:
    sizes = Squares(40).sizes
    steps = order(Squares(40), 4).iter_steps()
    for _ in range(50):
        tall = {bool(sizes[i, 0] > sizes[i, 1]) for i in next(steps)}
        assert len(tall) == 1


def test_a_rare_orientation_does_not_fill_steps_with_copies() -> None:
    sizes = torch.tensor([[40, 60]] * 9 + [[60, 40]])
    steps = StepOrder(sizes, 5, ShuffleSampler(Squares(10), 0)).iter_steps()
    for _ in range(2):
        assert len(set(next(steps))) == 5


def test_seeds_differ_and_repeat() -> None:
    first, again, other = (next(order(Squares(40), 8, seed).iter_steps()) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_dataset_smaller_than_a_step() -> None:
    steps = order(Squares(3), 8).iter_steps()
    assert sorted(set(next(steps))) == [0, 1, 2]


@pytest.mark.parametrize("start", [1, 3, 17])
def test_order_starts_anywhere(start: int) -> None:
    steps = order(Squares(40), 4)
    whole, rest = steps.iter_steps(), steps.iter_steps(start)
    for _ in range(start):
        next(whole)
    assert [next(whole) for _ in range(20)] == [next(rest) for _ in range(20)]


def test_resuming_gives_the_same_batches_bit_by_bit() -> None:
    data = module()
    whole = list(data.train_loader())
    resumed = list(data.train_loader(start_step=6))
    assert len(whole) == 10
    assert equal(whole[6:], resumed)


def test_workers_change_nothing_and_leave_the_global_generator_alone() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    alone, helped = (list(module(steps=4, workers=workers).train_loader()) for workers in (0, 2))
    assert equal(alone, helped)
    assert torch.get_rng_state().equal(before)


@pytest.mark.parametrize(("world", "per_device"), [(1, 4), (1, 3), (2, 4), (2, 1), (4, 1)])
def test_any_split_sees_the_same_images_with_the_same_augmentation(world: int, per_device: int) -> None:
    def rows(data: DetectionData, world: int) -> dict[int, tuple[int, list[float], list[float]]]:
        by_key = {}
        for rank in range(world):
            for batch in data.train_loader(rank, world):
                for b, name in enumerate(batch.images.rng_keys.tolist()):
                    by_key[name] = (
                        int(batch.ids[b]),
                        batch.images.sizes[b].tolist(),
                        batch.targets.boxes[b, 0].tolist(),
                    )
        return by_key

    expected = rows(module(), 1)
    assert len(expected) == 40
    assert rows(module(per_device=per_device), world) == expected


def test_every_process_does_as_many_device_batches_a_step() -> None:
    data = module(per_step=12, per_device=4)
    assert data.accumulate(1) == 3
    assert data.accumulate(2) == 2
    assert [len(micro_batch) for micro_batch in split_micro_batches(6, 4)] == [3, 3]
    assert [list(split_step(12, rank, 3)) for rank in range(3)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert len(data.train_loader(1, 2)) == len(list(data.train_loader(1, 2))) == 20


def test_a_batch_that_cannot_be_split_says_what_to_set() -> None:
    with pytest.raises(ValueError, match=r"schedule\.images_per_step=12"):
        split_step(10, 0, 4)


def test_augmentation_changes_from_epoch_to_epoch() -> None:
    batches = list(module(n=8, per_step=2, steps=20).train_loader())
    sizes = {tuple(batch.images.sizes[b].tolist()) for batch in batches for b in range(2) if batch.ids[b] == 1001}
    assert len(sizes) == 2


def test_validation_sees_every_image_and_processes_get_equally_many() -> None:
    data = module(n=11, per_device=2)
    assert sorted(ids(list(data.val_loader()))) == list(range(1000, 1011))
    shares = [ids(list(data.val_loader(rank, 4))) for rank in range(4)]
    assert {len(one) for one in shares} == {3}
    assert {i for one in shares for i in one} == set(range(1000, 1011))


def test_a_validation_batch_has_one_canvas_and_does_not_depend_on_the_number_of_processes() -> None:
    data = module(n=21)
    data.val.sizes = torch.tensor([(40, 60), (33, 64), (60, 40), (30, 90)]).repeat(6, 1)[:21]
    alone = [tuple(batch.ids.tolist()) for batch in data.val_loader(images_per_batch=4)]
    canvases = [data.canvas_rule.choose(tuple(size)) for size in data.val.sizes.tolist()]
    assert all(len({canvases[image - 1000] for image in batch}) == 1 for batch in alone)
    assert max(map(len, alone)) == 4
    shares = [[tuple(batch.ids.tolist()) for batch in data.val_loader(rank, 3, 4)] for rank in range(3)]
    assert {batch for share in shares for batch in share} == {*alone}
    assert len({len(share) for share in shares}) == 1


def test_a_few_images_are_the_first_ones_whatever_the_batch() -> None:
    data = module(n=40)
    few = [ids(list(data.plain_loader(images_per_batch=size, limit=7))) for size in (1, 3)]
    assert len(few[0]) == 7
    assert {*few[0]} == {*few[1]}


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_image_stops_training_with_its_path(workers: int) -> None:
    with pytest.raises(ImageError, match=r"squares/3\.png"):
        list(module(broken=[3], workers=workers).train_loader())


def test_an_unreadable_image_is_replaced_and_reported_on_request(caplog: pytest.LogCaptureFixture) -> None:
    whole, skipped = list(module().train_loader()), list(module(broken=[3], on_unreadable="skip").train_loader())
    differing = [pair for pair in zip(ids(whole), ids(skipped), strict=True) if pair[0] != pair[1]]
    assert [before for before, _ in differing] == [1003]
    assert "squares/3.png" in caplog.text
    assert ids(skipped) == ids(list(module(broken=[3], on_unreadable="skip", workers=2).train_loader()))


def test_a_dataset_of_unreadable_images_does_not_loop_forever() -> None:
    with pytest.raises(ImageError, match="10 images in a row"):
        list(module(n=4, broken=range(4), on_unreadable="skip").train_loader())
