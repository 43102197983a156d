"""Writing of a run's entry at its end, whatever ends it: the last step, an error, Ctrl-C, a scheduler's signal."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pytorch_lightning.utilities.exceptions import SIGTERMException

from lineage.results import disk, paths, store
from lineage.results.atomic import atomic_write
from lineage.results.entry import Entry, dump
from lineage.results.run_folder import RunFolder
from lineage.train.stop_signals import StopSignals

log = logging.getLogger(__name__)

STOPS = (KeyboardInterrupt, SystemExit, SIGTERMException)


class EntryWriter:
    """Writer of one entry; only the first call of `write` counts.

    `facts` holds the fields that do not change during the run, `get_progress()` returns the fields that do.
    """

    def __init__(
        self, results: Path, started: datetime, facts: dict[str, Any], get_progress: Callable[[], dict[str, Any]]
    ) -> None:
        self.results, self.started, self.facts, self.get_progress = results, started, facts, get_progress
        self.path: Path | None = None  # of the entry, once it is written
        self._entry: Entry | None = None
        self._lock = threading.Lock()  # the main thread and the thread of rank_watch may both write

    def write(self, status: str, error: str | None = None) -> Path | None:
        """Write the entry to the run folder, then to the store, unless it is written already; return its path.

        Raises OSError if a finished run has no place in the store; of any other run the first error counts.
        """
        with self._lock:
            if self._entry is None:
                facts = self.facts | self._read_progress()
                seconds = (datetime.now(UTC) - self.started).total_seconds()
                started = self.started.isoformat(timespec="seconds")
                self._entry = Entry(status=status, error=error, started=started, seconds=round(seconds, 2), **facts)
                copy = self._copy_to_run_folder(self._entry)
                try:
                    self.path = self._add_to_store(self._entry)
                finally:
                    self.path = self.path or copy
            return self.path

    def _copy_to_run_folder(self, entry: Entry) -> Path | None:
        folder = paths.resolve_portable(entry.folder) if entry.folder else self.results
        try:
            atomic_write(RunFolder(folder).entry, dump(entry), durable=True)
            return RunFolder(folder).entry
        except OSError as error:  # the store may be on another disk
            log.warning("no entry in the run folder: %s", disk.explain(error) or error)
            return None

    def _add_to_store(self, entry: Entry) -> Path | None:
        try:
            return store.write(entry, self.results)
        except OSError as error:
            if entry.status == "finished":
                raise
            log.warning("no entry in the store: %s", disk.explain(error) or error)
            return None

    def _read_progress(self) -> dict[str, Any]:
        """Return how far the run got; empty metrics if that cannot be read, as after an error of a device."""
        try:
            return self.get_progress()
        except Exception as error:
            log.warning("the entry holds no metrics: %s: %s", type(error).__name__, error)
            return {"metrics": {}}


@contextmanager
def write_at_end(writer: EntryWriter | None, signals: StopSignals | None = None) -> Iterator[None]:
    """Write the entry when the block ends, however it ends. Ranks other than the first have no writer.

    A signal ends the block in SystemExit with the code that shells give a process that dies of it, such as 143 of
    SIGTERM.
    """
    signals = signals or StopSignals()
    try:
        with signals.install():
            yield
    except BaseException as error:
        cause = unwrap_worker_error(error)
        if writer and is_interruption(error):
            writer.write("stopped", "stopped by the user or the scheduler")
        elif writer:
            writer.write("failed", f"{type(cause).__name__}: {cause}")
        if signals.first and is_interruption(error):
            if not isinstance(error, STOPS):
                log.warning("while the run stopped: %s: %s", type(cause).__name__, cause)
            raise SystemExit(128 + signals.first) from error
        if cause is error:
            raise
        raise cause from error
    if writer:
        writer.write("finished")


def is_interruption(error: BaseException | None) -> bool:
    """Return whether Ctrl-C or a signal to stop caused an error.

    Lightning turns Ctrl-C into SystemExit; worker processes that get the signal too cause errors on top of it.
    """
    return error is not None and (isinstance(error, STOPS) or is_interruption(error.__context__))


def unwrap_worker_error(error: BaseException) -> BaseException:
    """Return an error of this project without the traceback that a loader's worker wraps it in; any other as it is."""
    kind, text = type(error), str(error)
    if not (kind.__module__.startswith("lineage.") and text.startswith("Caught ")):
        return error
    return kind(text.rpartition(f"{kind.__module__}.{kind.__qualname__}: ")[2].strip())
