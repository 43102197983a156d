"""The LightningModule that trains and evaluates a detector.

What Lightning runs, written out as one loop (hooks in brackets):

    for batch in data.train_dataloader():  # Batch: images and targets of one micro batch
        [on_train_batch_start]  seed the global generator by (seed, batch, rank)
        [training_step]         losses = model.losses(images, targets)  # {name: (sum, normalizer)}
                                loss, means, diagnostics = combine_losses(losses)  # summed over all processes
                                loss_buffer.append(means, diagnostics)             # stay on the device
                                loss *= share of this micro batch in the images of the step
        backward()              # DDP averages the gradients of all processes
        if every `accumulate` micro batches:
            [on_before_optimizer_step]  loss_buffer.append_grad_norm(...)
            optimizer.step(); scheduler.step(); global_step += 1
        [on_train_batch_end]    every `log_every` steps: flush_losses()  # one host sync: log means, raise if not finite
        [Checkpoints]           every `checkpoint_every` steps: save
        if every `evaluate_every` steps, and after the last one:
            for batch in data.val_dataloader():
                [validation_step]         evaluator.update(detect(images), batch)  # once before training: check_outputs
            [on_validation_epoch_end]     metrics = evaluator.compute()

Losses are divided by normalizers over all processes, so 8 processes x 2 images equal 1 process x 16 images. With
gradient accumulation each micro batch (over all processes) has its own normalizers, and micro batches are averaged by
images: a normalizer is only known after the forward pass, when the gradient of the micro batch before is already taken.
Detectron normalises each GPU's two images by themselves in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import partial
from typing import Any, cast

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, distributed, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from lineage.eval.evaluator import Evaluator
from lineage.ops.random import fold_in
from lineage.structures import Batch, Detections, Images, Losses, Targets
from lineage.train.engines.engine import Detector, EagerEngine, Engine
from lineage.train.inference_cost import InferenceCost
from lineage.train.loss_buffer import LossBuffer, NonFiniteLoss, StepLosses
from lineage.train.memory.sharding import ShardedStrategy
from lineage.train.optimizer import match_layouts, unfuse
from lineage.train.throughput import Throughput


class UnknownLoss(ValueError):
    """Error for a weight whose name is not the name of a loss of the model."""


def combine_losses(losses: Losses, weights: Mapping[str, float] | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Return the loss to step on, and over all processes the mean of each loss [L] and the diagnostics [2, D].

    `weights` multiplies losses by name; the weight of a loss that it does not name is 1. Raises UnknownLoss if a name
    is not a loss.
    """
    weights = weights or {}
    if unknown := sorted(weights.keys() - losses.keys()):
        raise UnknownLoss(f"loss_weights.{unknown[0]}: this model's losses are {', '.join(losses)}")
    totals = torch.stack([loss.sum for loss in losses.values()])
    totals = totals.to(torch.promote_types(totals.dtype, torch.float32))  # bfloat16 cannot add up terms
    normalizers = torch.stack([loss.normalizer for loss in losses.values()]).to(totals)
    sums = torch.cat([totals.detach(), normalizers, *_stack_diagnostics(losses, like=totals)])
    processes = 1
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(sums)
        processes = distributed.get_world_size()
    count = len(losses)
    normalizers = sums[count : 2 * count].clamp(min=1)
    means = totals / normalizers
    logged = means.detach() if processes == 1 else sums[:count] / normalizers
    if weights:  # of 0 too: every parameter gets a gradient, as distributed training demands
        means = torch.stack([mean * weights.get(name, 1.0) for name, mean in zip(losses, means, strict=True)])
    loss = means.sum() if processes == 1 else means.sum() * processes  # DDP averages gradients over processes
    return loss, logged, sums[2 * count :].view(2, len(sums) // 2 - count)


def seed_generators(key: int, device: torch.device) -> None:
    """Seed the generators of the CPU and of `device` as torch.manual_seed does.

    torch.manual_seed also formats three tracebacks, 0.5 ms, to seed accelerators that are not in use.
    """
    torch.default_generator.manual_seed(key)
    if device.type == "cuda":
        torch.cuda.manual_seed_all(key)
    elif device.type != "cpu":
        torch.manual_seed(key)


@torch.no_grad()
def get_total_norm(gradients: Sequence[Tensor]) -> Tensor:
    """Return [], the norm of all gradients together, as torch.nn.utils.get_total_norm does.

    torch's copies the norm of each gradient to the device of the first: 0.02 ms more for 60 of them. Of sharded
    gradients the parts of all processes count.
    """
    if len({(gradient.device, gradient.dtype) for gradient in gradients}) != 1:
        norm = torch.nn.utils.get_total_norm(gradients)
    else:
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(list(gradients))))
    return norm.full_tensor() if hasattr(norm, "full_tensor") else norm


def _stack_diagnostics(losses: Losses, like: Tensor) -> list[Tensor]:
    """Return [2 * D], the sums of all diagnostics and then their normalizers, if there are any."""
    diagnostics = [diagnostic for loss in losses.values() for diagnostic in loss.diagnostics]
    values = [diagnostic.sum for diagnostic in diagnostics] + [diagnostic.normalizer for diagnostic in diagnostics]
    return [torch.stack(values).to(like)] if values else []


class DetectionModule(LightningModule):
    """The detector in training: model, optimizer, evaluator and meters.

    `detect` runs the model at evaluation on several views of an image; None is `model.detect`.
    `detect_with_truth`, if it is given, takes its place: an error analysis, which reads the annotations.
    `engine` runs both functions of the model; the trainer's device chooses it (make_trainer).
    """

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
        detect_with_truth: Callable[[Images, Targets], Detections] | None = None,
    ) -> None:
        super().__init__()
        # the model
        self.model = model
        self.engine: Engine = EagerEngine(model)
        self.detect_views = detect
        self.detect_with_truth = detect_with_truth

        # how it is trained and evaluated
        self.make_optimizer = optimizer
        self.make_scheduler = scheduler
        self.loss_weights = dict(loss_weights or {})
        self.images_per_step = images_per_step
        self.seed = seed
        self.evaluator = evaluator

        # meters
        self.log_every = log_every  # steps between flushes
        self.loss_buffer = LossBuffer()
        self.throughput = Throughput()
        self.inference_cost = InferenceCost()
        self.flushed_at = 0  # step
        self.parameters_in_order: list[nn.Parameter] = []  # of the model, in training: a walk over modules takes time

        # results so far
        self.latest: dict[str, float] = {}  # values that the progress bar shows
        self.metrics: dict[str, float] = {}  # of the last evaluation
        self.evaluated_at: int | None = None  # step of the last evaluation

    def __deepcopy__(self, memo: dict[int, Any]) -> DetectionModule:
        """Copy the model, for callbacks that average weights; the copy shares the evaluator and its ground truth."""
        memo[id(self.evaluator)] = self.evaluator
        memo[id(self.engine)] = None  # its recorded steps read the addresses of this model
        copied = memo[id(self)] = type(self).__new__(type(self))
        copied.__setstate__(deepcopy(self.__getstate__(), memo))
        copied.engine = EagerEngine(copied.model)
        return copied

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; Lightning writes the name of the hook that it calls there 40 times per step."""
        if name == "_current_fx_name":
            self.__dict__[name] = value  # a string: no parameter, module or buffer
        else:
            super().__setattr__(name, value)

    def detect(self, images: Images) -> Detections:
        return (self.detect_views or self.engine.detect)(images)

    def _detect_for_evaluation(self, targets: Targets, images: Images) -> Detections:
        return self.detect_with_truth(images, targets) if self.detect_with_truth else self.detect(images)

    def configure_model(self) -> None:
        """Shard the model, if the strategy does: optimizers are made of what is left on this process."""
        if isinstance(self.trainer.strategy, ShardedStrategy):
            self.trainer.strategy.shard(self.model)

    def configure_optimizers(self) -> Any:
        optimizer = self.make_optimizer(self.model)
        if self.trainer.gradient_clip_val and "mixed" in str(self.trainer.precision):
            unfuse(optimizer)
        return [optimizer], [{"scheduler": self.make_scheduler(optimizer), "interval": "step"}]

    def on_train_start(self) -> None:
        for optimizer in self.trainer.optimizers:
            match_layouts(optimizer)
        self.parameters_in_order = list(self.model.parameters())
        self.flushed_at = self.global_step
        self.throughput.start()

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        if device.type == "cpu":
            return batch  # it is there
        return cast(Batch, super().transfer_batch_to_device(batch, device, dataloader_idx))

    def _on_before_batch_transfer(self, batch: Batch, dataloader_idx: int = 0) -> Batch:
        """Return the batch; Lightning searches module and data for this hook, which neither has, in every step."""
        return batch

    def _apply_batch_transfer_handler(
        self, batch: Batch, device: torch.device | None = None, dataloader_idx: int = 0
    ) -> Batch:
        return self.transfer_batch_to_device(batch, device or self.device, dataloader_idx)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        self.throughput.begin_step()
        # dropout: the same after a resume
        seed_generators(fold_in(self.seed, batch_idx, self.global_rank), self.device)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.throughput.add_images(len(batch.ids) * self.trainer.world_size)
        losses = self.engine.losses(batch.images, batch.targets)
        loss, means, diagnostics = combine_losses(losses, self.loss_weights)
        self.loss_buffer.append(losses, StepLosses(self.global_step, means, diagnostics, batch.ids))
        weight = self._micro_batch_weight(len(batch.ids))
        return loss if weight == 1 else loss * weight

    def _micro_batch_weight(self, images: int) -> float:
        """Return the weight of a micro batch in Lightning's mean of micro batches: 1 if all are of equal size."""
        return images * self.trainer.world_size * self.trainer.accumulate_grad_batches / self.images_per_step

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        gradients = [grad for parameter in self.parameters_in_order if (grad := parameter.grad) is not None]
        self.loss_buffer.append_grad_norm(get_total_norm(gradients))

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        if self.global_step - self.flushed_at >= self.log_every:
            self.flush_losses()
        self.throughput.end_step()

    def flush_losses(self) -> None:
        """Log the losses since the last flush. If training diverged, raise NonFiniteLoss on every rank alike."""
        flushed = self.loss_buffer.flush()
        if not flushed.means:
            return
        self.flushed_at = self.global_step
        if step := flushed.first_non_finite:
            image_ids = cast(Tensor, self.all_gather(step.image_ids)).flatten().tolist()
            values = dict(zip(self.loss_buffer.names, step.losses.tolist(), strict=True))
            raise NonFiniteLoss(step.step, values, image_ids)
        lr = self.trainer.optimizers[0].param_groups[0]["lr"]
        self.latest = {**flushed.means, "lr": lr, **self.throughput.update()._asdict()}
        self._log(self.latest | flushed.diagnostics)

    def on_validation_start(self) -> None:
        if self.trainer.state.fn == "fit" and not self.trainer.sanity_checking:
            self.flush_losses()
            self.throughput.stop()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        detections = self.inference_cost.measure(partial(self._detect_for_evaluation, batch.targets), batch.images)
        if self.trainer.sanity_checking:  # before training: does the model detect what will be scored?
            self.evaluator.check_outputs(detections)
        else:
            self.evaluator.update(detections, batch)

    def on_validation_epoch_end(self) -> None:
        if not self.trainer.sanity_checking:
            self.metrics, self.evaluated_at = self.evaluator.compute(), self.global_step
            self.log_dict(self.metrics, logger=False)  # for callbacks that wait for a metric
            self._log(self.metrics)

    def on_validation_end(self) -> None:
        if self.trainer.state.fn == "fit" and not self.trainer.sanity_checking:
            self.throughput.start()

    def on_train_end(self) -> None:
        self.flush_losses()
        self.throughput.stop()

    def _log(self, values: dict[str, float]) -> None:
        for logger in self.trainer.loggers:
            logger.log_metrics(values, step=self.global_step)
