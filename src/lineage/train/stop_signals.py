"""Signals that end a run: a checkpoint within seconds, an entry "stopped", and a run folder that can be resumed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

# of a scheduler, of Ctrl-C, of a terminal that closes, SLURM's warning
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
GRACE = 20.0  # seconds for the step in progress and its checkpoint; SLURM kills 30 s after SIGTERM


class StopSignals(Callback):
    """Handlers of the signals, and a callback that puts them back after Lightning replaced them.

    In training, a signal waits for the end of the step, where Checkpoints saves and ends the run; after GRACE seconds,
    at a second signal, and outside of training it raises KeyboardInterrupt at once.

    Lightning's own handler waits for the next step too, and among several processes it may wait forever. Lightning
    also exchanges between all ranks before every step whether one was terminated, which makes every host wait for its
    GPU.
    """

    def __init__(self) -> None:
        self.requested = False
        self.first: int | None = None  # signal, of which the exit code of the run speaks
        self.handled: list[signal.Signals] = []
        self._is_training = False

    @contextmanager
    def install(self) -> Iterator[None]:
        """Handle the signals inside the block. One that is ignored stays so, as SIGHUP under nohup."""
        before = {number: signal.getsignal(number) for number in SIGNALS}
        self.handled = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
        self._set_handlers()
        try:
            yield
        finally:
            for number in self.handled:
                signal.signal(number, before[number])
            self.handled = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._set_handlers()
        self._is_training = True
        vars(trainer.fit_loop.epoch_loop)["_broadcast_sigterm_tensor"] = lambda: None

    def on_validation_start(self, *_: Any) -> None:
        self._set_handlers()
        self._is_training = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._is_training = trainer.state.fn == "fit" and not trainer.sanity_checking

    def on_train_end(self, *_: Any) -> None:
        self._is_training = False

    def on_exception(self, *_: Any) -> None:
        self._is_training = False

    def _set_handlers(self) -> None:
        for number in self.handled:
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if multiprocessing.parent_process():  # a child that begins, with this handler; it ends without a message
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.first = self.first or number
        if self.requested or not self._is_training:
            raise KeyboardInterrupt
        self.requested = True
        timer = threading.Timer(GRACE, self._repeat, (number,))
        timer.daemon = True
        timer.start()

    def _repeat(self, number: int) -> None:
        if self._is_training:
            os.kill(os.getpid(), number)
