"""The LightningDataModule: loaders of `Batch`, seeded per sample, split over processes, resumable at any step.

A training loader covers the whole run in one Lightning epoch. Its items are micro batches; the optimizer steps after
every `accumulate` of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from multiprocessing import Lock
from typing import Any

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Sampler
from torch.utils.data import Dataset as TorchDataset

from lineage.config.schema import Data, Schedule
from lineage.data.canvas import CanvasRule, count_images_at_once, group_batches
from lineage.data.samples.dataset import Dataset
from lineage.data.samples.image import ImageError
from lineage.data.samples.sample import Sample
from lineage.data.sampling.order import IndexSampler, ShuffleSampler, StepOrder, split_micro_batches, split_step
from lineage.data.shared_memory import collate_shared
from lineage.data.transforms.augment import Augment
from lineage.data.transforms.context import Context, Transform, bind_context
from lineage.data.transforms.sanitize import sanitize
from lineage.data.worker_signals import SignalSafeLoader
from lineage.ops.random import fold_in
from lineage.structures import Batch

log = logging.getLogger(__name__)

ItemKey = tuple[int, int]  # position in the run (step * images_per_step + index within the step), image index
SKIP = "Train without such images: data.on_unreadable=skip"
ATTEMPTS = 10  # unreadable images in a row after which on_unreadable=skip gives up


class DetectionData(pl.LightningDataModule):
    """The loaders of a run.

    sampling: (train, seed) -> IndexSampler of the training images: the image indices of each epoch.
    size_divisibility: of the sides of a canvas at test time, a property of the model.
    finish: (sample) -> sample, the last step of the loader after all transforms.

    Without `val`, nothing is evaluated.
    """

    def __init__(
        self,
        train: Dataset,
        val: Dataset | None,
        augment: Augment,
        schedule: Schedule,
        data: Data,
        seed: int,
        sampling: Callable[[Dataset, int], IndexSampler] = ShuffleSampler,
        size_divisibility: int = 32,
        finish: Callable[[Any], Any] = sanitize,
    ) -> None:
        super().__init__()
        self.train = train
        self.val = val
        self.augment = augment
        self.schedule = schedule
        self.data = data
        self.seed = seed
        self.sampling = sampling
        self.canvas_rule = CanvasRule(augment, size_divisibility)
        self.finish = finish

    def accumulate(self, world_size: int) -> int:
        """Return the number of micro batches per optimizer step on each of `world_size` processes."""
        images = len(split_step(self.schedule.images_per_step, 0, world_size))
        return len(split_micro_batches(images, self.data.images_per_device))

    def train_dataloader(self) -> DataLoader:
        """Return the loader of the remaining steps: Lightning calls this after it has restored a checkpoint."""
        assert self.trainer is not None
        return self.train_loader(self.trainer.global_rank, self.trainer.world_size, self.trainer.global_step)

    def val_dataloader(self) -> DataLoader | list[DataLoader]:
        assert self.trainer is not None
        if self.val is None:
            return []
        images_per_batch = self.count_images_at_once(self.trainer.strategy.root_device)
        return self.val_loader(self.trainer.global_rank, self.trainer.world_size, images_per_batch)

    def count_images_at_once(self, device: torch.device) -> int:
        """Return the size of a batch of the test on a device."""
        return count_images_at_once(device, self.data.images_per_device)

    def train_loader(self, rank: int = 0, world_size: int = 1, start_step: int = 0) -> DataLoader:
        images = self.schedule.images_per_step
        steps, on_unreadable = self.schedule.steps, self.data.on_unreadable
        dataset = AugmentedDataset(self.train, self.augment.train, self.seed, on_unreadable, images, steps, self.finish)
        order = StepOrder(self.train.sizes, images, self.sampling(self.train, self.seed))
        per_device = self.data.images_per_device
        batches = StepBatchSampler(order, self.schedule.steps, start_step, rank, world_size, per_device)
        return self._make_loader(dataset, batches, partial(_collate_training, self.augment.collate), keep_workers=False)

    def val_loader(self, rank: int = 0, world_size: int = 1, images_per_batch: int = 1) -> DataLoader:
        """Return the loader of the validation images, each once; a batch holds images of one canvas."""
        assert self.val is not None
        return self._test_loader(self.val, "raise", rank, world_size, images_per_batch, advice=self.advise_on_val())

    def advise_on_val(self) -> str:
        """Return what helps with an unreadable validation image: a missing file is always seen at the start."""
        assert self.val is not None
        train, val = (getattr(split, "source", None) for split in (self.train, self.val))
        is_share = train is not None and train == val
        keys = ["dataset.train.on_defect=drop"] * is_share + ["dataset.val.on_defect=drop"]
        return f"Fetch it again; or evaluate without it: move the file away and add {' '.join(keys)}"

    def plain_loader(
        self,
        rank: int = 0,
        world_size: int = 1,
        images_per_batch: int = 1,
        images: Dataset | None = None,
        limit: int | None = None,
    ) -> DataLoader:
        """Return the training images, or `images`, once as in the test: for fits after training and dumps.

        images_per_batch: the largest batch; a batch holds images of one canvas.
        limit: the number of images; None: all.
        """
        images = self.train if images is None else images
        return self._test_loader(images, self.data.on_unreadable, rank, world_size, images_per_batch, limit)

    def _test_loader(
        self,
        images: Dataset,
        on_unreadable: str,
        rank: int,
        world_size: int,
        images_per_batch: int,
        limit: int | None = None,
        advice: str = SKIP,
    ) -> DataLoader:
        dataset = AugmentedDataset(
            images, self.augment.test, self.seed, on_unreadable, images_per_step=1, finish=self.finish, advice=advice
        )
        order = sort_by_aspect_ratio(images)[:limit]
        keys = [self.canvas_rule.group_key(size) for size in map(tuple, images.sizes[order].tolist())]
        batches = [[order[position] for position in batch] for batch in group_batches(keys, images_per_batch)]
        sampler = EpochBatchSampler(batches, rank, world_size)
        return self._make_loader(dataset, sampler, partial(_collate_test, self.canvas_rule), keep_workers=True)

    def _make_loader(
        self,
        dataset: AugmentedDataset,
        batches: Sampler[list[ItemKey]],
        collate: Callable[[Sequence[tuple[Sample, int]]], Batch],
        keep_workers: bool,
    ) -> DataLoader:
        return SignalSafeLoader(
            dataset,
            batch_sampler=batches,
            collate_fn=partial(collate_shared, collate, Lock()) if self.data.workers else collate,
            num_workers=self.data.workers,
            persistent_workers=keep_workers and self.data.workers > 0,
            pin_memory=torch.cuda.is_available(),
            # without a generator of its own, opening a loader would advance the global one
            generator=torch.Generator().manual_seed(self.seed),
        )


class StepBatchSampler(Sampler[list[ItemKey]]):
    """Micro batches of one process, from step `start` to the end of the run.

    The length counts from step 0: after a resume Lightning continues the count of the checkpoint.
    """

    def __init__(
        self, order: StepOrder, steps: int, start: int, rank: int, world_size: int, images_per_device: int
    ) -> None:
        self.order = order
        self.steps = steps
        self.start = start
        self.positions = split_step(order.images_per_step, rank, world_size)
        self.micro_batches = split_micro_batches(len(self.positions), images_per_device)

    def __len__(self) -> int:
        return self.steps * len(self.micro_batches)

    def __iter__(self) -> Iterator[list[ItemKey]]:
        for step, images in zip(range(self.start, self.steps), self.order.iter_steps(self.start), strict=False):
            keys = [(step * len(images) + position, images[position]) for position in self.positions]
            yield from (keys[micro_batch.start : micro_batch.stop] for micro_batch in self.micro_batches)


class EpochBatchSampler(Sampler[list[ItemKey]]):
    """The share of one process in `batches` of image indices, which cover every image once.

    All processes get equally many batches, so the first ones may come again at the end; evaluators count an image once.
    """

    def __init__(self, batches: Sequence[list[int]], rank: int, world_size: int) -> None:
        per_process = -(-len(batches) // world_size)
        repeated = [*batches] * world_size
        self.batches = repeated[: per_process * world_size][rank::world_size]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[ItemKey]]:
        for batch in self.batches:
            yield [(index, index) for index in batch]


def sort_by_aspect_ratio(images: Dataset) -> list[int]:
    """Return the indices of all images, the wide ones first; equal ones keep their order."""
    aspect_ratios = images.sizes[:, 0].double() / images.sizes[:, 1].double()
    return aspect_ratios.argsort(stable=True).tolist()


class AugmentedDataset(TorchDataset[tuple[Sample, int]]):
    """Map from an ItemKey to the augmented sample and its rng key.

    The random numbers of a sample depend on the seed, its position in the run and its image id alone. `on_unreadable`
    is "raise", with `advice`, or "skip" to replace an unreadable image by another; `steps` is the training's length.
    """

    def __init__(
        self,
        dataset: Dataset,
        transform: Transform,
        seed: int,
        on_unreadable: str,
        images_per_step: int,
        steps: int | None = None,
        finish: Callable[[Any], Any] = sanitize,
        advice: str = SKIP,
    ) -> None:
        self.dataset = dataset
        self.transform = transform
        self.seed = seed
        self.on_unreadable = on_unreadable
        self.images_per_step = images_per_step
        self.steps = steps
        self.finish = finish
        self.advice = advice

    def __getitem__(self, item: ItemKey) -> tuple[Sample, int]:
        position, index = item
        for attempt in range(ATTEMPTS):
            try:
                return self._load(position, index)
            except ImageError as error:  # of this image, or of one that a transform mixes in
                if self.on_unreadable != "skip":
                    raise ImageError(f"{error}\n{self.advice}") from error
                log.warning("%s\nskipped because of data.on_unreadable=skip; another image takes its place", error)
                index = fold_in(self.seed, position, "instead", attempt) % len(self.dataset)
        raise ImageError(f"{ATTEMPTS} images in a row could not be read; `lineage data check` lists all of them")

    def _load(self, position: int, index: int) -> tuple[Sample, int]:
        sample = self.dataset[index]
        context = Context(self.dataset, step=position // self.images_per_step, seed=self.seed, steps=self.steps)
        rng_key = fold_in(self.seed, position, sample.image_id)
        with torch.random.fork_rng(devices=[]):
            # the CPU generator alone: torch.manual_seed also formats a traceback, to seed GPUs that workers never use
            torch.default_generator.manual_seed(rng_key)
            return self.finish(bind_context(self.transform, context)(sample)), rng_key


def _collate_training(collate: Callable[..., Batch], items: Sequence[tuple[Sample, int]]) -> Batch:
    return collate([sample for sample, _ in items], [rng_key for _, rng_key in items])


def _collate_test(canvas_rule: CanvasRule, items: Sequence[tuple[Sample, int]]) -> Batch:
    return canvas_rule.collate([sample for sample, _ in items])
