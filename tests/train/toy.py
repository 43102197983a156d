"""A model with the interface of RCNN and nothing of its size: trains in milliseconds."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from pytorch_lightning import LightningDataModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from lineage.ops.random import fold_in
from lineage.structures import Batch, Detections, Diagnostic, Images, Loss, Losses, Targets
from lineage.train.detection_module import DetectionModule
from lineage.train.gloo_threads import wait_for_gloo_threads
from lineage.train.lr_schedule import MultiStep, with_warmup
from lineage.train.optimizer import sgd
from lineage.train.save_tensors import DirectCheckpointIO
from tests.train.test_nodes import find_free_port


class Toy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Dropout(0.2))
        self.head = nn.Linear(4, 5)

    def losses(self, images: Images, targets: Targets) -> Losses:
        features = self.body(images.pixels.float() / 255).mean((2, 3))
        boxes, score = self.head(features).split([4, 1], dim=1)
        weight = targets.valid.float()
        error = (boxes[:, None] - targets.boxes).abs().sum(2) * weight
        images_per_batch = torch.tensor(float(len(score)))
        accuracy = Diagnostic("accuracy", (score.detach() > 0).sum(), images_per_batch)
        return {
            "roi_box": Loss(error.sum(), weight.sum()),
            "roi_cls": Loss(score.square().sum(), images_per_batch, (accuracy,)),
        }

    def detect(self, images: Images) -> Detections:
        b = len(images.pixels)
        valid = torch.zeros(b, 1, dtype=torch.bool)
        slot = torch.zeros(b, 1)
        return Detections(torch.zeros(b, 1, 4), slot, slot.long(), valid, slot.long(), torch.zeros(b, 1, 2))


class Count:
    """An evaluator that counts the images it was shown."""

    def __init__(self) -> None:
        self.images = 0

    def check_outputs(self, detections: Detections) -> None:
        pass

    def update(self, detections: Detections, batch: Batch) -> None:
        self.images += len(batch.ids)

    def compute(self) -> dict[str, float]:
        images, self.images = self.images, 0
        return {"images": float(images)}


def batch(step: int, size: int = 2) -> Batch:
    columns = [_image(step * size + i) for i in range(size)]
    pixels, boxes, valid = (torch.stack(column) for column in zip(*columns, strict=True))
    ids = torch.arange(step * size, (step + 1) * size)
    nothing = torch.zeros_like(valid)
    targets = Targets(boxes, nothing.long(), valid, nothing, None, None)
    sizes = torch.full((size, 2), 8.0)
    return Batch(Images(pixels, sizes, ids), targets, ids, sizes.long())


def _image(index: int) -> tuple[Tensor, Tensor, Tensor]:
    chance = torch.Generator().manual_seed(fold_in("toy", index))
    pixels = torch.randint(0, 256, (3, 8, 8), dtype=torch.uint8, generator=chance)
    return pixels, torch.rand(3, 4, generator=chance), torch.arange(3) < index % 3 + 1


def share(whole: Batch, rank: int, world: int) -> Batch:
    """Every world-th image of the batch."""

    def part(node: Any) -> Any:
        if isinstance(node, Tensor):
            return node[rank::world]
        return None if node is None else type(node)(*map(part, node))

    return part(whole)


class Stream(IterableDataset[Batch]):
    def __init__(self, start: int, size: int, broken: int | None) -> None:
        self.start, self.size, self.broken = start, size, broken
        self.rank, self.world = 0, 1

    def __iter__(self) -> Any:
        step = self.start
        while True:
            whole = batch(step, self.size)
            if step == self.broken:
                whole.targets.boxes.fill_(float("nan"))
            yield share(whole, self.rank, self.world)
            step += 1


class ToyData(LightningDataModule):
    def __init__(self, start: int = 0, size: int = 2, broken: int | None = None) -> None:
        super().__init__()
        self.stream = Stream(start, size, broken)

    def train_dataloader(self) -> DataLoader[Batch]:
        assert self.trainer is not None
        self.stream.rank, self.stream.world = self.trainer.global_rank, self.trainer.world_size
        return DataLoader(self.stream, batch_size=None)

    def val_dataloader(self) -> DataLoader[Batch]:
        return DataLoader([batch(1000), batch(1001)], batch_size=None)  # type: ignore[arg-type]


def detection_module(seed: int = 0, images: int = 2, make_model: Callable[[], Any] = Toy) -> DetectionModule:
    torch.manual_seed(seed)
    rates = {"lr": 0.02, "momentum": 0.9, "weight_decay": 1e-4, "norm_decay": 0.0}
    return DetectionModule(
        make_model(),
        optimizer=partial(sgd, bias_lr_factor=1.0, bias_decay=1e-4, **rates),
        scheduler=partial(with_warmup, decay=MultiStep([8], 0.1), warmup_steps=3, warmup_factor=0.1),
        evaluator=Count(),
        images_per_step=images,
        seed=seed,
        log_every=4,
    )


def trainer(steps: int, **options: Any) -> Trainer:
    settings = {"accelerator": "cpu", "devices": 1, "logger": False, "enable_checkpointing": False, "max_epochs": -1}
    settings |= {"enable_progress_bar": False, "enable_model_summary": False}
    settings |= {"check_val_every_n_epoch": None, "val_check_interval": 10**9, "num_sanity_val_steps": 0}
    made = Trainer(max_steps=steps, **(settings | options))
    made.strategy.checkpoint_io = DirectCheckpointIO()
    return made


def run_in_two_processes(function: Callable[..., object], *arguments: Any) -> None:
    """Call function(rank, *arguments) in two new processes, which Lightning takes for those of torchrun."""
    torch.multiprocessing.spawn(_run_as_rank, (find_free_port(), function, arguments), nprocs=2)


def _run_as_rank(rank: int, port: int, function: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "test"}
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "GROUP_RANK": "0"}
    torch.set_num_threads(1)
    function(rank, *arguments)
    wait_for_gloo_threads()  # as a run does
