"""The callback of signs of life from the connection to the end: phases, marks, and what is published."""

from __future__ import annotations

import json
import os
import platform
from types import SimpleNamespace
from typing import Any

import pytest
from pytorch_lightning import Callback

from lineage.train import rank_heartbeat
from lineage.train.rank_heartbeat import RankHeartbeat
from tests.train import toy
from tests.train.test_rank_heartbeat import Store


class Waits:
    """An event that is never set; each wait counts, and gives the number of looks of the other thread from a list."""

    def __init__(self, heartbeat: RankHeartbeat, looks: list[int]) -> None:
        self.heartbeat, self.looks, self.count = heartbeat, looks, 0

    def wait(self, seconds: float) -> bool:
        if self.count == len(self.looks):
            return True
        self.heartbeat._num_looks, self.count = self.looks[self.count], self.count + 1
        return False


@pytest.mark.parametrize(
    ("looks", "waits"),
    [([0] * 9, 6), ([1, 2, 3, 4, 5, 6, 7, 8, 9], None), ([1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2], 11)],
    ids=["none", "every time", "slow, then none"],
)
def test_a_store_is_judged_by_looks_in_a_row_without_an_answer(
    monkeypatch: pytest.MonkeyPatch, looks: list[int], waits: int | None
) -> None:
    """A limit of four pauses: the fifth look in a row that has not come ends the process."""
    heartbeat, ends = RankHeartbeat(1.0), []
    over = Waits(heartbeat, looks)
    monkeypatch.setattr(heartbeat, "_over", over)

    def end(message: str) -> None:
        ends.append((over.count, message))
        over.looks = looks[: over.count]

    monkeypatch.setattr(heartbeat, "_end", end)
    heartbeat._judge_store()
    message = "the process that holds the store of the run has given no answer for 1 s"
    assert ends == ([] if waits is None else [(waits, message)])


@pytest.mark.parametrize(("timeout", "pause", "looks"), [(0.4, 0.1, 4), (8.0, 2.0, 4), (300.0, 2.0, 150)])
def test_a_limit_is_a_number_of_looks_two_seconds_apart(timeout: float, pause: float, looks: int) -> None:
    heartbeat = RankHeartbeat(timeout)
    assert (heartbeat.pause, heartbeat._watch.max_looks, heartbeat._watch.timeout) == (pause, looks, timeout)


def connect(monkeypatch: pytest.MonkeyPatch, store: Store, size: int = 2, available: bool = True) -> None:
    """Let this process be one of `size` that share a store; of none if size is 0."""
    c10d = SimpleNamespace(_get_default_store=lambda: store)
    fake = {"is_available": lambda: available, "is_initialized": lambda: size > 0, "get_world_size": lambda: size}
    monkeypatch.setattr(rank_heartbeat, "dist", SimpleNamespace(distributed_c10d=c10d, **fake))


def quiet_heartbeat() -> RankHeartbeat:
    """Return one whose threads wait all the time of a test."""
    heartbeat = RankHeartbeat(30.0)
    heartbeat.pause = 600.0
    return heartbeat


@pytest.mark.parametrize(("size", "available"), [(0, True), (1, True), (2, False)])
def test_a_process_alone_is_not_watched(monkeypatch: pytest.MonkeyPatch, size: int, available: bool) -> None:
    store, heartbeat = Store(), quiet_heartbeat()
    connect(monkeypatch, store, size, available)
    with heartbeat.run(print):
        heartbeat.setup(SimpleNamespace(global_rank=0, local_rank=0, world_size=size), None, "fit")  # type: ignore[arg-type]
        heartbeat.on_train_start()
        heartbeat.on_train_batch_end()
    assert (heartbeat.state, heartbeat._threads, store) == (None, [], {})


@pytest.mark.parametrize(("rank", "local_rank"), [(0, 0), (3, 0), (5, 1)])
def test_a_process_publishes_from_the_connection_to_the_end(
    monkeypatch: pytest.MonkeyPatch, rank: int, local_rank: int
) -> None:
    store, heartbeat = Store(), quiet_heartbeat()
    connect(monkeypatch, store, size=6)
    with heartbeat.run(print):
        for stage in ("fit", "validate"):  # set up twice, started once
            heartbeat.setup(SimpleNamespace(global_rank=rank, local_rank=local_rank, world_size=6), None, stage)  # type: ignore[arg-type]
        threads = heartbeat._threads
        assert [(thread.name, thread.daemon, thread.is_alive()) for thread in threads] == [
            ("lineage-heartbeat", True, True)
        ] * 2
        assert published(store, rank) == (1, "start", 0)
        assert heartbeat.report is print
    assert heartbeat._is_first_of_machine == (local_rank == 0)
    assert published(store, rank) == (2, "end", 0)
    assert list(store) == [f"lineage/rank/{rank}"]
    assert not any(thread.is_alive() for thread in threads)


def published(store: Store, rank: int) -> tuple[int, str, int]:
    fields = json.loads(store[f"lineage/rank/{rank}"])
    assert (fields["rank"], fields["host"], fields["pid"]) == (rank, platform.node(), os.getpid())
    return fields["beat"], fields["phase"], fields["progress"]


def test_a_store_that_is_closed_before_the_end_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    store, heartbeat = Store(), quiet_heartbeat()
    connect(monkeypatch, store)
    with heartbeat.run(print):
        heartbeat.setup(SimpleNamespace(global_rank=1, local_rank=1, world_size=2), None, "fit")  # type: ignore[arg-type]
        connect(monkeypatch, store, size=0)
    assert published(store, 1) == (1, "start", 0)
    assert heartbeat.state is not None
    assert heartbeat.state.phase == "end"


class Phases(Callback):
    """A callback behind the heartbeat that keeps what its state is in each hook."""

    def __init__(self, heartbeat: RankHeartbeat) -> None:
        self.heartbeat, self.states = heartbeat, []  # type: ignore[var-annotated]

    def keep(self, *_: Any) -> None:
        assert self.heartbeat.state is not None
        self.states.append((self.heartbeat.state.phase, self.heartbeat.state.progress))

    on_train_start = on_train_batch_start = on_before_backward = on_train_batch_end = on_train_end = keep
    on_validation_start = on_validation_batch_end = on_validation_epoch_end = on_validation_end = keep


@pytest.mark.parametrize("checked", [0, 1], ids=["", "after a sanity check"])
def test_the_phases_of_a_training(monkeypatch: pytest.MonkeyPatch, checked: int) -> None:
    """A batch is three marks: begun, its loss computed, finished; one of an evaluation is one mark."""
    heartbeat = quiet_heartbeat()
    connect(monkeypatch, Store())
    phases = Phases(heartbeat)
    fitted = toy.trainer(2, callbacks=[heartbeat, phases], val_check_interval=1, num_sanity_val_steps=checked)
    module, data = toy.detection_module(), toy.ToyData()
    with heartbeat.run(print):
        fitted.fit(module, datamodule=data)
        fitted.validate(module, datamodule=data, verbose=False)

    def evaluation(first: int, batches: int, after: str) -> list[tuple[str, int]]:
        last = first + batches
        marks = [("evaluation", mark) for mark in range(first, last + 1)]
        return [*marks, ("scoring", last), (after, last)]

    def batch(first: int) -> list[tuple[str, int]]:
        return [("training", first + mark) for mark in (1, 2, 3)]

    start = checked
    assert phases.states == [
        *(evaluation(0, 1, "other") if checked else []),
        ("training", start),
        *batch(start), *evaluation(start + 3, 2, "training"),
        *batch(start + 5), *evaluation(start + 8, 2, "training"),
        ("other", start + 10),
        *evaluation(start + 10, 2, "other"),
    ]  # fmt: skip
