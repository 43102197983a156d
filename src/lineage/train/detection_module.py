"""A reproduction in progress: the model, its optimizer and its evaluator, in the form Lightning runs.

Losses are divided by counts over all processes, so 8 processes x 2 images equal 1 process x 16 images. With gradient
accumulation each micro batch (over all processes) has its own counts, and micro batches are averaged by images: a count
is known only after the forward pass, when the gradient of the micro batch before is already taken. Detectron normalises
each GPU's two images by themselves in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, distributed
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from lineage.eval.evaluator import Evaluator
from lineage.ops.random import fold_in
from lineage.structures import Batch, Detections, Images, Losses, Targets
from lineage.train.inference_cost import Toll
from lineage.train.loss_buffer import History, NotFinite, Step
from lineage.train.throughput import Stopwatch


class UnknownLoss(ValueError):
    """A weight for a loss that the model has not."""


class Detector(Protocol):
    def losses(self, images: Images, targets: Targets) -> Losses: ...

    def detect(self, images: Images) -> Detections: ...


def combine(losses: Losses, weights: Mapping[str, float] | None = None) -> tuple[Tensor, Tensor]:
    """The loss to step on, and each loss by itself [L] as seen by all processes together.

    `weights` multiplies losses by name; one that it does not name counts once. Raises UnknownLoss for a foreign name.
    """
    weights = weights or {}
    if unknown := sorted(weights.keys() - losses.keys()):
        raise UnknownLoss(f"loss_weights.{unknown[0]}: this model's losses are {', '.join(losses)}")
    totals = torch.stack([loss.sum for loss in losses.values()])
    totals = totals.to(torch.promote_types(totals.dtype, torch.float32))  # bfloat16 cannot add up terms
    sums = torch.stack([totals.detach(), torch.stack([loss.normalizer for loss in losses.values()]).to(totals)])
    processes = 1
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(sums)
        processes = distributed.get_world_size()
    counts = sums[1].clamp(min=1)
    # a weight of 0 still gives every parameter a gradient, as distributed training demands
    means = [mean * weights.get(name, 1.0) for name, mean in zip(losses, totals / counts, strict=True)]
    return torch.stack(means).sum() * processes, sums[0] / counts  # DDP averages gradients over processes


class Reproduction(LightningModule):
    def __init__(
        self,
        model: Detector,
        *,
        optimizer: Callable[[Any], Optimizer],
        scheduler: Callable[[Optimizer], LambdaLR],
        evaluator: Evaluator,
        images_per_step: int,
        seed: int,
        log_every: int,
        loss_weights: Mapping[str, float] | None = None,
        detect: Callable[[Images], Detections] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.detect = detect or model.detect  # as evaluated: perhaps on several views of an image
        self.make_optimizer, self.make_scheduler = optimizer, scheduler
        self.evaluator, self.images_per_step = evaluator, images_per_step
        self.seed, self.log_every = seed, log_every
        self.loss_weights = dict(loss_weights or {})
        self.history, self.stopwatch, self.toll = History(), Stopwatch(), Toll()
        self.latest: dict[str, float] = {}  # what the progress bar shows
        self.metrics: dict[str, float] = {}
        self.evaluated_at: int | None = None
        self._read_at = 0

    def configure_optimizers(self) -> Any:
        optimizer = self.make_optimizer(self.model)
        return [optimizer], [{"scheduler": self.make_scheduler(optimizer), "interval": "step"}]

    def on_train_start(self) -> None:
        self._read_at = self.global_step
        self.stopwatch.start()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        torch.manual_seed(fold_in(self.seed, batch_idx, self.global_rank))  # dropout: the same after a resume

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.stopwatch.count(len(batch.ids) * self.trainer.world_size)
        losses = self.model.losses(batch.images, batch.targets)
        loss, each = combine(losses, self.loss_weights)
        self.history.write(list(losses), Step(self.global_step, each, batch.ids))
        return loss * self._share(len(batch.ids))

    def _share(self, images: int) -> float:
        """Lightning averages micro batches; they count by their images. 1 where all are of equal size."""
        return images * self.trainer.world_size * self.trainer.accumulate_grad_batches / self.images_per_step

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        if self.global_step - self._read_at >= self.log_every:
            self.read_losses()

    def read_losses(self) -> None:
        """Log the losses since the last reading; raise NotFinite, on every rank alike, where training diverged."""
        reading = self.history.read()
        if not reading.means:
            return
        self._read_at = self.global_step
        if reading.broken:
            images = cast(Tensor, self.all_gather(reading.broken.ids)).flatten().tolist()
            values = dict(zip(self.history.names, reading.broken.losses.tolist(), strict=True))
            raise NotFinite(reading.broken.number, values, images)
        lr = self.trainer.optimizers[0].param_groups[0]["lr"]
        self.latest = {**reading.means, "lr": lr, "images_per_second": self.stopwatch.lap()}
        self._log(self.latest)

    def on_validation_start(self) -> None:
        if self.trainer.state.fn == "fit" and not self.trainer.sanity_checking:
            self.read_losses()
            self.stopwatch.stop()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        detections = self.toll.taken(self.detect, batch.images)
        if not self.trainer.sanity_checking:  # before training: does the model detect at all?
            self.evaluator.update(detections, batch)

    def on_validation_epoch_end(self) -> None:
        if not self.trainer.sanity_checking:
            self.metrics, self.evaluated_at = self.evaluator.compute(), self.global_step
            self._log(self.metrics)

    def on_validation_end(self) -> None:
        if self.trainer.state.fn == "fit" and not self.trainer.sanity_checking:
            self.stopwatch.start()

    def on_train_end(self) -> None:
        self.read_losses()
        self.stopwatch.stop()

    def _log(self, values: dict[str, float]) -> None:
        for logger in self.trainer.loggers:
            logger.log_metrics(values, step=self.global_step)
