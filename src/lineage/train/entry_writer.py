"""The entry of a run, written whatever ends it: the last step, an error, Ctrl-C, a scheduler's SIGTERM."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities.exceptions import SIGTERMException

from lineage.results import paths, store
from lineage.results.entry import Entry, dump


class Record:
    """`facts` are known before the run, `so_far` tells how far it got. The first status that is written counts."""

    def __init__(
        self, results: Path, started: datetime, facts: dict[str, Any], so_far: Callable[[], dict[str, Any]]
    ) -> None:
        self.results, self.started, self.facts, self.so_far = results, started, facts, so_far
        self.path: Path | None = None
        self._lock = threading.Lock()  # the main thread and the watch over other ranks may both come to an end

    def write(self, status: str, error: str | None = None) -> Path:
        with self._lock:
            if self.path is None:
                facts = self.facts | self.so_far()
                seconds = (datetime.now(UTC) - self.started).total_seconds()
                started = self.started.isoformat(timespec="seconds")
                entry = Entry(status=status, error=error, started=started, seconds=round(seconds, 2), **facts)
                self.path = store.write(entry, self.results)
                folder = paths.found(entry.folder) if entry.folder else self.path.parent
                partial = folder / "entry.partial"  # a resumed run reads it: whole, or as it was
                partial.write_text(dump(entry), encoding="utf-8")
                os.replace(partial, folder / "entry.json")
            return self.path


@contextmanager
def recorded(record: Record | None) -> Iterator[None]:
    """Write the entry when the block ends, however it ends. Ranks other than the first have no record."""
    try:
        with terminated_like_interrupted():
            yield
    except BaseException as error:
        told = from_worker(error)
        if record and interrupted(error):
            record.write("stopped", "stopped by the user or the scheduler")
        elif record:
            record.write("failed", f"{type(told).__name__}: {told}")
        if told is error:
            raise
        raise told from error
    if record:
        record.write("finished")


def interrupted(error: BaseException | None) -> bool:
    """Lightning turns Ctrl-C into SystemExit; loading processes that get the signal too cause errors on top of it."""
    stops = (KeyboardInterrupt, SystemExit, SIGTERMException)
    return error is not None and (isinstance(error, stops) or interrupted(error.__context__))


def from_worker(error: BaseException) -> BaseException:
    """An error of this project without the traceback that a loading process wraps it in; any other as it is."""
    kind, text = type(error), str(error)
    if not (kind.__module__.startswith("lineage.") and text.startswith("Caught ")):
        return error
    return kind(text.rpartition(f"{kind.__module__}.{kind.__qualname__}: ")[2].strip())


@contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Interruptible(Callback):
    """Keeps SIGTERM ours: Lightning's own handler waits for the next step, and among processes it may wait forever.

    Lightning also asks all ranks before every step whether one was terminated, which makes every host wait for its GPU.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        signal.signal(signal.SIGTERM, _interrupt)
        vars(trainer.fit_loop.epoch_loop)["_broadcast_sigterm_tensor"] = lambda: None

    def on_validation_start(self, *_: Any) -> None:
        signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    if multiprocessing.parent_process():  # a loading process inherited this, and is to end without a word
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    raise KeyboardInterrupt
