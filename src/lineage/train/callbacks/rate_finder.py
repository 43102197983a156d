"""Learning-rate range test (arXiv:1506.01186, section 3.3) before the first step, by Lightning's LearningRateFinder."""

from __future__ import annotations

import csv
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import LearningRateFinder
from pytorch_lightning.tuner import lr_finder

from lineage.train.loss_buffer import LossBuffer
from lineage.train.throughput import Throughput

FILE = "lr_finder.csv"
log = logging.getLogger(__name__)


class RateFinder(LearningRateFinder):
    """Range test that reports a rate, writes its curve to the run folder and changes nothing of the training.

    The rate rises from `min_lr` to `max_lr` over `num_training_steps` steps; the weights are put back afterwards. The
    config is the experiment, so the suggestion is printed as an override and not set.
    """

    def __init__(self, *, min_lr: float, max_lr: float, num_training_steps: int, early_stop_threshold: float) -> None:
        super().__init__(
            min_lr=min_lr,
            max_lr=max_lr,
            num_training_steps=num_training_steps,
            early_stop_threshold=early_stop_threshold,
            update_attr=False,
        )

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.ckpt_path:
            return  # a resumed run
        if trainer.is_global_zero:
            log.warning("range test: at most %d steps before the training", self._num_training_steps)
        pl_module.__dict__["flush_losses"] = lambda: None  # it raises if training diverges: here that ends the test
        try:
            with bar_on_terminals():
                super().on_fit_start(trainer, pl_module)
        finally:
            del pl_module.__dict__["flush_losses"]
            pl_module.loss_buffer, pl_module.throughput = LossBuffer(), Throughput()
        if trainer.is_global_zero and self.optimal_lr is not None:
            self._report(Path(trainer.default_root_dir))

    def _report(self, folder: Path) -> None:
        assert self.optimal_lr is not None
        results = self.optimal_lr.results
        with (folder / FILE).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("lr", "loss"), *zip(results["lr"], results["loss"], strict=True)])
        rate = self.optimal_lr.suggestion()
        if rate is None:
            log.warning("the range test suggests no rate: too few steps had a finite loss. Curve: %s", folder / FILE)
        else:
            log.warning("the loss falls most steeply at optimizer.lr=%.2g (range test). Curve: %s", rate, folder / FILE)


@contextmanager
def bar_on_terminals() -> Iterator[None]:
    """Keep Lightning's bar of the test out of logs: show it only where stdout and stderr are terminals."""
    bar = lr_finder.tqdm
    is_off = None if sys.stdout.isatty() else True  # None: tqdm looks at stderr itself
    vars(lr_finder)["tqdm"] = partial(bar, disable=is_off)
    try:
        yield
    finally:
        vars(lr_finder)["tqdm"] = bar
