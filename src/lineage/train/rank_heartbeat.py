"""Signs of life between the processes of a distributed run: if one is silent or stands still, the run ends.

Without them a process that hangs (a stopped machine, a lost disk, a deadlock in a loader) lets all others wait inside a
collective for half an hour. Every process publishes its state in the store of torch.distributed when the processes
are connected, and every few seconds from then on. The first process reads all states, the others that of the first. A
process fails if, for `timeout` seconds,

- it publishes nothing: it is stopped, its machine is gone, or
- it trains or evaluates and finishes no batch. The others wait for it and stand still, too; the one behind is named.
  Only the first process, which reads all states, judges this.

Who notices a fault publishes it and ends; the others read it and end, before they take the missing one for the fault.
Gathering and scoring are not timed, for the first process may take long while the others wait. torch ends a collective
after its own timeout.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Protocol

import torch.distributed as dist
from pytorch_lightning import Callback, LightningModule, Trainer

PAUSE = 2.0  # seconds between signs of life
REPORT = 60.0  # seconds for the entry of a run that ends; after an error of a device its metrics may never come
KEY, FAULT = "lineage/rank/{}", "lineage/fault"  # keys in the store: of each process, of the run
TIMED = ("training", "evaluation")
QUIET = 2  # looks without a sign of life; a single one is the clocks of two processes

log = logging.getLogger(__name__)


class Store(Protocol):
    """The part of torch.distributed.Store that is needed; no call waits for another process."""

    def set(self, key: str, value: str) -> None: ...

    def get(self, key: str) -> bytes: ...

    def check(self, keys: list[str]) -> bool: ...


@dataclass(slots=True)
class RankState:
    """State of one process, as it publishes it."""

    rank: int
    beat: int = 0  # signs of life so far
    phase: str = "start"  # "training" and "evaluation" are timed; "end" is not watched
    progress: int = 0  # batches begun, losses computed and batches finished so far
    host: str = field(default_factory=platform.node)
    pid: int = field(default_factory=os.getpid)

    @property
    def name(self) -> str:
        place = f"pid {self.pid} on {self.host}" if self.beat else "which has not begun"
        return f"process {self.rank} ({place})"


@dataclass(slots=True)
class Watch:
    """Judge of the states of processes; `find_fault` returns a message if one of them has failed.

    max_looks: number of looks in a row without a change after which a process has failed. Looks are counted, not
    seconds: a run that was suspended as a whole goes on.
    """

    max_looks: int
    timeout: float  # in the message
    states: dict[int, RankState] = field(default_factory=dict)
    silent: dict[int, int] = field(default_factory=dict)  # rank -> looks without a sign of life
    idle: dict[int, int] = field(default_factory=dict)  # rank -> looks without a finished batch

    def find_fault(self, states: list[RankState]) -> str | None:
        """Compare states with those of the look before."""
        for state in states:
            before = self.states.get(state.rank)
            is_same = before is not None and before.beat == state.beat
            has_progress = before is None or (before.phase, before.progress) != (state.phase, state.progress)
            is_watched, is_timed = state.phase != "end", state.phase in TIMED
            self.silent[state.rank] = self.silent.get(state.rank, 0) + 1 if is_same and is_watched else 0
            self.idle[state.rank] = self.idle.get(state.rank, 0) + 1 if is_timed and not has_progress else 0
            self.states[state.rank] = state
        silent = [state.name for state in states if self.silent[state.rank] >= self.max_looks]
        if silent:
            return f"{' and '.join(silent)} has given no sign of life for {self.timeout:.0f} s"
        if max(self.silent.values()) >= QUIET and max(self.idle.values()) < 2 * self.max_looks:
            return None  # the others may wait for a process that is stopped: the next looks show whether it is
        timed = [state for state in states if state.phase in TIMED]
        slowest = [state for state in timed if state.progress == min(state.progress for state in timed)]
        if slowest and all(self.idle[state.rank] >= self.max_looks for state in slowest):
            names = " and ".join(state.name for state in slowest)
            return f"{names} has finished no batch of {slowest[0].phase} for {self.timeout:.0f} s"
        return None


class RankHeartbeat(Callback):
    """Callback that publishes the state of this process and ends it if another fails."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self.report: Callable[[str], object] = lambda message: None
        self.pause = min(PAUSE, timeout / 4)
        self.state: RankState | None = None
        self._watch = Watch(round(timeout / self.pause), timeout)
        self._is_first_of_machine = True
        self._num_looks = 0  # of the thread that reads; it stands still if the process of the store does not answer
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    @contextmanager
    def run(self, report: Callable[[str], object]) -> Iterator[None]:
        """Watch inside the block, from the connection on; the first process calls `report` before it ends."""
        self.report = report
        try:
            yield
        finally:
            self._set_phase("end")
            self._over.set()
            if self.state and dist.is_initialized():
                self._publish(dist.distributed_c10d._get_default_store())
            for thread in self._threads:  # one inside the store at the end of the interpreter would abort the process
                thread.join(self.pause)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._start(trainer)

    def on_train_start(self, *_: Any) -> None:
        self._set_phase("training")

    def on_train_batch_start(self, *_: Any) -> None:
        self._count()

    def on_before_backward(self, *_: Any) -> None:
        self._count()  # the others wait in the backward pass for one that does not get here

    def on_train_batch_end(self, *_: Any) -> None:
        self._count()

    def on_train_end(self, *_: Any) -> None:
        self._set_phase("other")

    def on_validation_start(self, *_: Any) -> None:
        self._set_phase("evaluation")

    def on_validation_batch_end(self, *_: Any) -> None:
        self._count()

    def on_validation_epoch_end(self, *_: Any) -> None:
        self._set_phase("scoring")

    def on_validation_end(self, trainer: Trainer, *_: Any) -> None:
        self._set_phase("training" if trainer.state.fn == "fit" and not trainer.sanity_checking else "other")

    def _set_phase(self, phase: str) -> None:
        if self.state:
            self.state.phase = phase

    def _count(self) -> None:
        if self.state:
            self.state.progress += 1

    def _start(self, trainer: Trainer) -> None:
        if self.state or not dist.is_available() or not dist.is_initialized() or dist.get_world_size() < 2:
            return
        self.state = RankState(trainer.global_rank)
        self._is_first_of_machine = trainer.local_rank == 0
        store = dist.distributed_c10d._get_default_store()
        self._publish(store)  # a process that is stopped at once is known, too
        exchange = partial(self._exchange, store, trainer.world_size)
        for target in (exchange, self._judge_store):
            self._threads.append(threading.Thread(target=target, daemon=True, name="lineage-heartbeat"))
            self._threads[-1].start()

    def _exchange(self, store: Store, world_size: int) -> None:
        """Publish, read, judge, until the run is over or its store is gone."""
        watched = range(1, world_size) if self.state and self.state.rank == 0 else range(1)
        while not self._over.wait(self.pause):
            try:
                self._publish(store)
                states = [self._read(store, rank) for rank in watched]
                if store.check([FAULT]):
                    self._end(store.get(FAULT).decode(), is_printed=self._is_first_of_machine)
                    return
            except RuntimeError:  # the connection is closed: `_judge_store` waits for the end of this process
                return
            self._num_looks += 1
            if self.state and self.state.rank == 0:
                states.append(RankState(**asdict(self.state)))
            if message := self._watch.find_fault(states):
                with suppress(RuntimeError):
                    store.set(FAULT, message)
                self._end(message)
                return

    def _publish(self, store: Store) -> None:
        if self.state:
            self.state.beat += 1
            store.set(KEY.format(self.state.rank), json.dumps(asdict(self.state)))

    def _read(self, store: Store, rank: int) -> RankState:
        """Return the state of another process, or one without a sign of life before its first.

        Of the first process the others judge silence alone: in its state of training it may wait for any of them.
        """
        key = KEY.format(rank)
        state = RankState(**json.loads(store.get(key))) if store.check([key]) else RankState(rank)
        if rank == 0 and state.phase in TIMED:
            state.phase = "other"
        return state

    def _judge_store(self) -> None:
        """End this process if the process that holds the store does not answer."""
        looks, idle = -1, 0
        while not self._over.wait(self.pause):
            looks, idle = self._num_looks, idle + 1 if looks == self._num_looks else 0
            if idle > self._watch.max_looks:
                self._end(f"the process that holds the store of the run has given no answer for {self.timeout:.0f} s")

    def _end(self, message: str, is_printed: bool = True) -> None:
        """Report, and end this process: a collective that waits cannot be left otherwise."""
        if self._over.is_set():
            return
        message = f"{message}; the run ends. rank_timeout=SECONDS sets the limit"
        try:
            if is_printed:
                print(message, file=sys.stderr, flush=True)
            if self.state and self.state.rank == 0:
                reporter = threading.Thread(target=self.report, args=(message,), daemon=True)
                reporter.start()
                reporter.join(REPORT)
            sys.stdout.flush()
        finally:  # also if the terminal is closed
            os._exit(1)
