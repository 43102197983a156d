"""Progress of a run: a live bar on a terminal, a line now and then in a log file."""

from __future__ import annotations

import logging
import time
import warnings
from typing import Any, cast

from pytorch_lightning import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from lineage.train.detection_module import DetectionModule
from lineage.train.evaluated_weights import find_best, step_of_best

METERS = ("lr", "images_per_second", "data_wait")  # values that are no losses
NOTABLE_WAIT = 0.1  # share of the time above which the loader is named as what the training waits for
SILENCE = 20.0  # seconds without a line in a log file, at most

# Warnings of Lightning or torch on every run, about choices this project has made on purpose.
IGNORED = ("LeafSpec", "does not have many workers", "ended before the epoch ended", "srun", "tensorboardX",
           "smaller than the logging interval", "`broadcast_buffers` is deprecated",
           "exists and is not empty", "flops_per_batch", "sync_dist=True",
           "overridden `transfer_batch_to_device`",
           "Grad strides do not match bucket view strides")  # of 1x1 filters, whose strides mean the same  # fmt: skip


def silence_lightning() -> None:
    """Hide the adverts and the advice of Lightning."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning.fabric", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for text in IGNORED:
        warnings.filterwarnings("ignore", message=f"(?s).*{text}")


def make_progress_callback(console: Console) -> Callback:
    """Return a bar for a terminal, lines for a file."""
    return ProgressBar(console) if console.is_terminal else ProgressLines(console)


def format_losses(values: dict[str, float]) -> str:
    """Return e.g. "loss 1.23 = rpn_cls 0.40 + rpn_box 0.83, lr 0.02, 7.1 images/s, 34% waiting for data"."""
    if not values:
        return ""
    losses = [name for name in values if name not in ("loss", *METERS)]
    terms = " + ".join(f"{name} {values[name]:.3f}" for name in losses)
    waits = values.get("data_wait", 0.0)
    wait = f", {waits:.0%} waiting for data" if waits >= NOTABLE_WAIT else ""
    speed = f"{values['images_per_second']:.1f} images/s{wait}"
    return f"loss {values['loss']:.3f} = {terms}, lr {values['lr']:.3g}, {speed}"


def format_duration(seconds: float) -> str:
    """Return hours:minutes:seconds."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


class ProgressBar(Callback):
    """Bar on a terminal."""

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.bar = Progress(*columns, TextColumn("{task.fields[text]}"), console=console)
        self.training: TaskID | None = None
        self.evaluating: TaskID | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.bar.start()
        self.training = self.bar.add_task("training", total=trainer.max_steps, completed=trainer.global_step, text="")

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        assert self.training is not None
        text = format_losses(cast(DetectionModule, pl_module).latest)
        self.bar.update(self.training, completed=trainer.global_step, text=text)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.bar.start()
        batches = sum(map(int, trainer.num_val_batches))
        self.evaluating = self.bar.add_task("evaluating", total=batches, text="batches")

    def on_validation_batch_end(self, *_: Any) -> None:
        assert self.evaluating is not None
        self.bar.advance(self.evaluating)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert self.evaluating is not None
        self.bar.remove_task(self.evaluating)
        if trainer.state.fn == "validate":
            self.bar.stop()

    def on_train_end(self, *_: Any) -> None:
        self.bar.stop()

    def on_exception(self, *_: Any) -> None:
        self.bar.stop()


class ProgressLines(Callback):
    """Lines in a log: at each tenth of the steps, and after SILENCE seconds without one."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.started = 0.0  # time of the first step of this process
        self.first_step = 0
        self.last_line = 0.0  # time
        self.tenths = 0  # of all steps, done
        self.losses_of = 0  # step of the losses printed last

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = self.last_line = time.perf_counter()
        self.first_step = trainer.global_step
        self.tenths = 10 * self.first_step // trainer.max_steps

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        now, step = time.perf_counter(), trainer.global_step
        tenths = 10 * step // trainer.max_steps
        if tenths > self.tenths or now - self.last_line > SILENCE:
            self.last_line, self.tenths = now, tenths
            remaining = (trainer.max_steps - step) * (now - self.started) / max(step - self.first_step, 1)
            text = self._format_new_losses(cast(DetectionModule, pl_module), step)
            self._print(f"step {step}/{trainer.max_steps}  {format_duration(remaining)} left  {text}".rstrip())

    def _format_new_losses(self, module: DetectionModule, step: int) -> str:
        """Return the losses, with their step if that is an earlier one; empty if they were printed before."""
        if module.flushed_at == self.losses_of or not module.latest:
            return ""
        self.losses_of = module.flushed_at
        earlier = f"  (step {module.flushed_at})" if module.flushed_at != step else ""
        return f"{format_losses(module.latest)}{earlier}"

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking:
            return
        best = find_best(trainer) if trainer.state.fn == "validate" else None
        self._print(
            f"evaluating at step {trainer.global_step}"
            if best is None
            else f"evaluating the best weights, those of step {step_of_best(best)}"
        )

    def _print(self, text: str) -> None:
        self.console.print(text, highlight=False, soft_wrap=True)
