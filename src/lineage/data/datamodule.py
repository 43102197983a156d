"""Datasets become Lightning's loaders of `Batch`: seeded per sample, split over processes, resumable at any step.

A training loader covers the whole run in one Lightning epoch. Its items are device batches; the optimizer steps after
every `accumulate` of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Sampler
from torch.utils.data import Dataset as TorchDataset

from lineage.config.schema import Data, Schedule
from lineage.data.samples.dataset import Dataset
from lineage.data.samples.image import ImageError
from lineage.data.samples.sample import Sample
from lineage.data.sampling.order import Order, Shuffle, micro_batches, share
from lineage.data.transforms.resize_flip import bind, clean, parts
from lineage.ops.random import fold_in
from lineage.structures import Batch

log = logging.getLogger(__name__)

Draw = tuple[int, int]  # position in the run (step * images_per_step + place), image index
ATTEMPTS = 10  # how many images in a row may be unreadable before skipping them stops making sense


class DetectionData(pl.LightningDataModule):
    """`augment` holds `train` and `test`, both Sample -> Sample, and `collate`, (samples, keys) -> Batch.

    `sampling` is called with the training dataset and the seed and gives the image indices of each epoch.
    """

    def __init__(
        self, train: Dataset, val: Dataset, augment: Any, schedule: Schedule, data: Data, seed: int,
        sampling: Callable[[Dataset, int], Callable[[int], Any]] = Shuffle,
    ) -> None:  # fmt: skip
        super().__init__()
        self.train = train
        self.val = val
        self.augment = augment
        self.schedule = schedule
        self.data = data
        self.seed = seed
        self.sampling = sampling

    def accumulate(self, world: int) -> int:
        """Device batches per optimizer step on each of `world` processes."""
        images = len(share(self.schedule.images_per_step, 0, world))
        return len(micro_batches(images, self.data.images_per_device))

    def train_dataloader(self) -> DataLoader:
        """Lightning asks after it has restored a checkpoint, so its step is where the order goes on."""
        assert self.trainer is not None
        return self.train_loader(self.trainer.global_rank, self.trainer.world_size, self.trainer.global_step)

    def val_dataloader(self) -> DataLoader:
        assert self.trainer is not None
        return self.val_loader(self.trainer.global_rank, self.trainer.world_size)

    def train_loader(self, rank: int = 0, world: int = 1, start_step: int = 0) -> DataLoader:
        images = self.schedule.images_per_step
        draws = Draws(self.train, self.augment.train, self.seed, self.data.corrupt, images)
        order = Order(self.train.sizes, images, self.sampling(self.train, self.seed))
        steps = Steps(order, self.schedule.steps, start_step, rank, world, self.data.images_per_device)
        return self._loader(draws, steps, keep_workers=False)

    def val_loader(self, rank: int = 0, world: int = 1) -> DataLoader:
        draws = Draws(self.val, self.augment.test, self.seed, "raise", images_per_step=1)
        return self._loader(draws, Once(self.val, rank, world, self.data.images_per_device), keep_workers=True)

    def plain_loader(self, rank: int = 0, world: int = 1, images: Dataset | None = None) -> DataLoader:
        """The training images, or others, once as they are tested: for what is fitted after training, and for dumps."""
        shown = self.train if images is None else images
        draws = Draws(shown, self.augment.test, self.seed, self.data.corrupt, images_per_step=1)
        return self._loader(draws, Once(shown, rank, world, self.data.images_per_device), keep_workers=True)

    def _loader(self, draws: Draws, batches: Sampler[list[Draw]], keep_workers: bool) -> DataLoader:
        return DataLoader(
            draws,
            batch_sampler=batches,
            collate_fn=partial(_collate, self.augment.collate),
            num_workers=self.data.workers,
            persistent_workers=keep_workers and self.data.workers > 0,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator().manual_seed(self.seed),  # else opening a loader would move the global generator
        )


class Steps(Sampler[list[Draw]]):
    """One process's device batches, from step `start` to the end of the run.

    The length counts from step 0 even so: Lightning goes on counting batches where the checkpoint left off.
    """

    def __init__(self, order: Order, steps: int, start: int, rank: int, world: int, images_per_device: int) -> None:
        self.order = order
        self.steps = steps
        self.start = start
        self.places = share(order.images_per_step, rank, world)
        self.micro = micro_batches(len(self.places), images_per_device)

    def __len__(self) -> int:
        return self.steps * len(self.micro)

    def __iter__(self) -> Iterator[list[Draw]]:
        for step, images in zip(range(self.start, self.steps), self.order.steps(self.start), strict=False):
            draws = [(step * len(images) + place, images[place]) for place in self.places]
            yield from (draws[part.start : part.stop] for part in self.micro)


class Once(Sampler[list[Draw]]):
    """Every image once, neighbours of like shape; processes get equally many, so the last may repeat a few images."""

    def __init__(self, dataset: Dataset, rank: int, world: int, images_per_device: int) -> None:
        ratio = dataset.sizes[:, 0].double() / dataset.sizes[:, 1].double()
        by_shape = ratio.argsort(stable=True).tolist()
        each = -(-len(by_shape) // world)
        repeated = (by_shape * world)[: each * world]
        self.indices: list[int] = repeated[rank::world]
        self.micro = [range(i, i + images_per_device) for i in range(0, each, images_per_device)]

    def __len__(self) -> int:
        return len(self.micro)

    def __iter__(self) -> Iterator[list[Draw]]:
        for part in self.micro:
            yield [(index, index) for index in self.indices[part.start : part.stop]]


class Draws(TorchDataset[tuple[Sample, int]]):
    """A sample as one draw of the run sees it: augmented with the random numbers of its own position.

    Transforms with `at(step, seed)` are told the step first: what they do changes in the course of a run.
    """

    def __init__(
        self, dataset: Dataset, transform: Callable[[Sample], Sample], seed: int, corrupt: str, images_per_step: int
    ) -> None:
        bind(transform, dataset)
        self.paced = [one for one in parts(transform) if hasattr(one, "at")]
        self.images_per_step = images_per_step
        self.dataset = dataset
        self.transform = transform
        self.seed = seed
        self.corrupt = corrupt

    def __getitem__(self, draw: Draw) -> tuple[Sample, int]:
        position, index = draw
        for one in self.paced:
            one.at(position // self.images_per_step, self.seed)
        for attempt in range(ATTEMPTS):
            try:
                return self._drawn(position, index)
            except ImageError as error:  # of this image, or of one that an augmentation mixes in
                if self.corrupt != "skip":
                    raise ImageError(f"{error}\nTrain without such images: data.corrupt=skip") from error
                log.warning("%s\nskipped because of data.corrupt=skip; another image takes its place", error)
                index = fold_in(self.seed, position, "instead", attempt) % len(self.dataset)
        raise ImageError(f"{ATTEMPTS} images in a row could not be read; `lineage data check` lists all of them")

    def _drawn(self, position: int, index: int) -> tuple[Sample, int]:
        sample = self.dataset[index]
        name = fold_in(self.seed, position, sample.image_id)
        with torch.random.fork_rng(devices=[]):
            # of the CPU only: torch.manual_seed asks for a traceback, to seed GPUs that a worker never uses
            torch.default_generator.manual_seed(name)
            return clean(self.transform(sample)), name


def _collate(collate: Callable[..., Batch], drawn: Sequence[tuple[Sample, int]]) -> Batch:
    return collate([sample for sample, _ in drawn], [name for _, name in drawn])
