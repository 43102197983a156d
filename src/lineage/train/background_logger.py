"""Logger in a thread of its own: a server that hangs, refuses or fails costs a run seconds and one line.

run                     thread
log_hyperparams    ->   make the logger, at most OPEN seconds before the run goes on without waiting
log_metrics        ->   queue: never waits
log_run            ->   read entry, metrics of classes and pictures from the run folder
close              ->   write what is in the queue, at most CLOSE seconds
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from queue import Full, Queue
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

log = logging.getLogger(__name__)

OPEN = 15.0  # seconds
CLOSE = 15.0
LENGTH = 10_000  # calls in the queue, of a logger that has stopped taking them


class BackgroundLogger(Logger):
    """Logger that passes calls on to another one, which only its thread touches. Its errors become warnings."""

    def __init__(self, name: str, make: Callable[[], Logger]) -> None:
        super().__init__()
        self.url: str | None = None  # of the run on a dashboard, once it is there
        self._name, self._make = name, make
        self._calls: Queue[tuple[str, tuple[Any, ...]] | None] = Queue(LENGTH)
        self._thread: threading.Thread | None = None
        self._opened = threading.Event()
        self._warned = False

    @property
    def name(self) -> str:
        return self._name

    @property
    def version(self) -> str:
        return ""

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Open the logger if it is not open."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, daemon=True, name=f"logger {self._name}")
            self._thread.start()
        self._append("log_hyperparams", params)
        if not self._opened.wait(OPEN):
            self._warn(f"does not open within {OPEN:.0f} s")

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self._append("log_metrics", metrics, step)

    @rank_zero_only
    def log_run(self, folder: Path) -> None:
        """Let the logger read the files of a run that has ended, if it does."""
        self._append("log_run", folder)

    def close(self, seconds: float | None = None) -> None:
        """Wait until the logger has written everything, at most for `seconds`, or CLOSE."""
        seconds = CLOSE if seconds is None else seconds
        if self._thread is None or not self._thread.is_alive():
            return
        self._append(None)
        self._thread.join(seconds)
        if self._thread.is_alive():
            self._warn(f"has not written everything within {seconds:.0f} s")

    def _append(self, method: str | None, *arguments: Any) -> None:
        try:
            self._calls.put_nowait(None if method is None else (method, arguments))
        except Full:
            self._warn(f"does not write; {LENGTH} calls wait for it")

    def _work(self) -> None:
        logger = self._try("does not open", self._make)
        self.url = getattr(logger, "url", None)
        self._opened.set()
        while (call := self._calls.get()) is not None:
            method, arguments = call
            if logger is not None and hasattr(logger, method):
                self._try(f"fails in {method}", getattr(logger, method), *arguments)
        if hasattr(logger, "close"):
            self._try("fails at its end", logger.close)

    def _try(self, failure: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return what the function returns; if it raises, warn and return None."""
        try:
            return function(*arguments)
        except BaseException as error:  # of a library that may raise SystemExit: a thread has nothing to stop
            self._warn(f"{failure}: {type(error).__name__}: {' '.join(str(error).split())[:300]}")
            return None

    def _warn(self, text: str) -> None:
        """Warn once: a logger that fails does so at every step."""
        if not self._warned:
            self._warned = True
            log.warning("logger %s %s. The run goes on", self._name, text)
