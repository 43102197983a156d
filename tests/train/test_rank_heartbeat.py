"""A process of a distributed run that is stopped, or hangs in its data, ends the run with a message, soon."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from pytorch_lightning import Callback, Trainer

from lineage.results.run_folder import list_checkpoints
from lineage.train import rank_heartbeat
from lineage.train.rank_heartbeat import RankHeartbeat, RankState, Watch
from tests.train import tiny


def state(rank: int, beat: int, progress: int, phase: str = "training") -> RankState:
    return RankState(rank, beat, phase, progress, host="node", pid=40 + rank)


def test_a_silent_process_is_named() -> None:
    watch = Watch(max_looks=3, timeout=30.0)
    faults = [watch.find_fault([state(0, look, look), state(1, min(look, 5), look)]) for look in range(10)]
    assert faults[:8] == [None] * 8
    assert faults[8] == "process 1 (pid 41 on node) has given no sign of life for 30 s"


def test_of_processes_that_stand_still_the_last_is_named() -> None:
    """Process 1 hangs at mark 5; the others have passed it and wait for it in a collective."""
    watch = Watch(max_looks=3, timeout=30.0)
    faults = [
        watch.find_fault([state(0, n, min(n, 6)), state(1, n, min(n, 5)), state(2, n, min(n, 6))]) for n in range(12)
    ]
    message = next(filter(None, faults))
    assert message == "process 1 (pid 41 on node) has finished no batch of training for 30 s"


def test_a_stopped_process_is_named_though_another_stood_still_before() -> None:
    """Process 0 writes a checkpoint for two looks, then waits for process 1, which is stopped from look 4 on."""
    watch = Watch(max_looks=4, timeout=30.0)
    faults = [watch.find_fault([state(0, n, min(n, 2)), state(1, min(n, 4), min(n, 4))]) for n in range(10)]
    assert next(filter(None, faults)) == "process 1 (pid 41 on node) has given no sign of life for 30 s"


def test_the_last_process_is_not_named_while_it_moves() -> None:
    """A batch of process 1 takes longer than the limit, but it is read, computed and finished one after the other."""
    watch = Watch(max_looks=3, timeout=30.0)
    assert [watch.find_fault([state(0, n, 9), state(1, n, n // 2)]) for n in range(17)] == [None] * 17


def test_signs_of_life_with_gaps_do_not_hide_a_process_that_stands_still() -> None:
    """A loaded machine: process 2 publishes at every third look, while process 1 hangs."""
    watch = Watch(max_looks=4, timeout=30.0)
    faults = [watch.find_fault([state(0, n, 6), state(1, n, 5), state(2, n // 4, 6)]) for n in range(12)]
    assert next(filter(None, faults)) == "process 1 (pid 41 on node) has finished no batch of training for 30 s"


def test_scoring_and_the_end_are_not_timed() -> None:
    watch = Watch(max_looks=3, timeout=30.0)
    states = [[state(0, n, 7, "scoring"), state(1, min(n, 2), 7, "end")] for n in range(20)]
    assert [watch.find_fault(looks) for looks in states] == [None] * 20


def test_a_run_that_was_suspended_as_a_whole_goes_on() -> None:
    """Looks are counted: between two of them any time may pass."""
    watch = Watch(max_looks=2, timeout=30.0)
    assert [watch.find_fault([state(0, n, n), state(1, n, n)]) for n in range(3)] == [None] * 3


LIMIT = 20  # seconds; on a loaded machine a batch may take 6
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
START, PATIENCE = 300, 180  # seconds; after SIGTERM torchrun gives a stopped process 30


class Store(dict[str, Any]):
    """A store without other processes."""

    def set(self, key: str, value: str) -> None:
        self[key] = value.encode()

    def check(self, keys: list[str]) -> bool:
        return all(key in self for key in keys)


def test_the_first_process_reports_before_it_ends(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    ended = threading.Event()
    messages: list[str] = []
    heartbeat = RankHeartbeat(0.2)
    heartbeat.report = messages.append
    heartbeat.state = RankState(0, phase="training")
    monkeypatch.setattr(rank_heartbeat.os, "_exit", lambda code: (heartbeat._over.set(), ended.set()))
    store = Store({"lineage/rank/1": json.dumps({"rank": 1, "beat": 3, "phase": "training", "progress": 2})})
    threading.Thread(target=heartbeat._exchange, args=(store, 2), daemon=True).start()
    assert ended.wait(10)
    assert "process 1 (pid" in messages[0]
    assert "has given no sign of life for 0 s; the run ends. rank_timeout=SECONDS sets the limit" in messages[0]
    assert messages[0] in capfd.readouterr().err


def test_a_process_without_any_sign_of_life_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was stopped before its first: no other state says that it exists."""
    store = Store()
    message = "process 1 (which has not begun) has given no sign of life for 0 s"
    assert listen(monkeypatch, RankState(0, phase="training"), store) == [message]
    assert store["lineage/fault"] == message.encode()


def test_a_fault_that_another_process_noticed_ends_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Process 0 has named process 2 and is gone: process 1 does not name process 0."""
    store = Store({"lineage/fault": b"process 2 has given no sign of life for 9 s"})
    assert listen(monkeypatch, RankState(1, phase="training"), store) == ["process 2 has given no sign of life for 9 s"]


def test_the_first_process_is_not_blamed_by_one_that_it_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Process 1 hangs; process 0 lives, waits in a collective and judges: process 1 must not be faster."""
    store = LivingStore(0, phase="training", progress=7)
    assert listen(monkeypatch, RankState(1, phase="training", progress=6), store, seconds=2.0) == []


def listen(monkeypatch: pytest.MonkeyPatch, own: RankState, store: Store, seconds: float = 10.0) -> list[str]:
    """Return the message with which a process of two ends, within some seconds."""
    ended = threading.Event()
    messages: list[str] = []
    heartbeat = RankHeartbeat(0.2)
    heartbeat.state = own

    def end(message: str, is_printed: bool = True) -> None:
        messages.append(message)
        ended.set()

    monkeypatch.setattr(heartbeat, "_end", end)
    thread = threading.Thread(target=heartbeat._exchange, args=(store, 2), daemon=True)
    thread.start()
    ended.wait(seconds)
    heartbeat._over.set()
    thread.join()
    return messages


class LivingStore(Store):
    """A store in which another process gives a sign of life at every look, and finishes nothing."""

    def __init__(self, rank: int, **fields: Any) -> None:
        self.other = RankState(rank, **fields)

    def check(self, keys: list[str]) -> bool:
        self.other.beat += 1
        self.set(f"lineage/rank/{self.other.rank}", json.dumps(asdict(self.other)))
        return super().check(keys)


def test_an_entry_that_cannot_be_written_and_a_closed_terminal_do_not_keep_a_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Metrics on a device that hangs never come; standard error may be a pipe without a reader."""
    codes: list[int] = []
    monkeypatch.setattr(rank_heartbeat.os, "_exit", codes.append)
    monkeypatch.setattr(rank_heartbeat, "REPORT", 0.1)
    heartbeat, never = RankHeartbeat(0.2), threading.Event()
    heartbeat.state, heartbeat.report = RankState(0), lambda message: never.wait()
    heartbeat._end("x")
    monkeypatch.setattr(rank_heartbeat.sys, "stderr", ClosedPipe())
    with pytest.raises(BrokenPipeError):  # the real _exit does not return
        heartbeat._end("x")
    never.set()
    assert codes == [1, 1]


class ClosedPipe(StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_a_store_that_does_not_answer_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    heartbeat = RankHeartbeat(0.2)
    monkeypatch.setattr(rank_heartbeat.os, "_exit", lambda code: (heartbeat._over.set(), ended.set()))
    threading.Thread(target=heartbeat._judge_store, daemon=True).start()
    assert ended.wait(10)


class HangInBatch3(Callback):
    """A loader of the second process that never returns."""

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if trainer.global_rank == 1 and batch_idx == 3:
            time.sleep(3600)


class StopInBatch0(Callback):
    """A process that is stopped sooner than the pause between two signs of life."""

    def __init__(self, rank: int) -> None:
        self.rank = rank

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_rank == self.rank and trainer.global_step == 0:
            os.kill(os.getpid(), signal.SIGSTOP)


@pytest.mark.slow
@LINUX
@pytest.mark.parametrize("stopped", [0, 1])
def test_torchrun_ends_when_a_process_is_stopped(tmp_path: Path, stopped: int) -> None:
    with torchrun(tmp_path) as agent:
        while not list_checkpoints(tmp_path / "run/checkpoints"):
            assert agent.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.2)
        os.kill(find_rank(agent.pid, stopped), signal.SIGSTOP)
        assert agent.wait(PATIENCE) != 0
    check_end(tmp_path, stopped, "has given no sign of life")


@pytest.mark.slow
@LINUX
@pytest.mark.parametrize("stopped", [0, 1])
def test_torchrun_ends_when_a_process_is_stopped_in_its_first_batch(tmp_path: Path, stopped: int) -> None:
    target = f"+callbacks.stop={{_target_: {__name__}.StopInBatch0, rank: {stopped}}}"
    with torchrun(tmp_path, target) as agent:
        assert agent.wait(START + PATIENCE) != 0
    check_end(tmp_path, stopped, "has given no sign of life")


@pytest.mark.slow
@LINUX
def test_torchrun_ends_when_a_process_hangs(tmp_path: Path) -> None:
    with torchrun(tmp_path, f"+callbacks.hang._target_={__name__}.HangInBatch3") as agent:
        assert agent.wait(START + PATIENCE) != 0
    check_end(tmp_path, 1, "has finished no batch of training")


def check_end(folder: Path, rank: int, failure: str) -> None:
    """The process that failed is named, no other is, and the entry says so if the first process could write it."""
    text = (folder / "log").read_text()
    message = f"{failure} for {LIMIT} s; the run ends. rank_timeout=SECONDS sets the limit"
    assert f"process {rank} (pid " in text
    assert f"process {1 - rank} (pid " not in text
    assert message in text
    if rank != 0:
        entry = json.loads((folder / "run/entry.json").read_text())
        assert entry["status"] == "failed"
        assert message in entry["error"]


@contextmanager
def torchrun(folder: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a run of two processes that would train long, and kill what is left of it at the end."""
    two = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", f"rank_timeout={LIMIT}")
    run = ("schedule.steps=5000", f"hydra.run.dir={folder / 'run'}")
    agent = start_torchrun(tiny.command(folder, *tiny.TINY, *run, *two, *options)[1:], folder / "log")
    try:
        yield agent
    finally:
        if agent.poll() is None:
            for rank in list_children(agent.pid):  # each in a session of its own
                os.kill(rank, signal.SIGKILL)
            os.killpg(agent.pid, signal.SIGKILL)


def start_torchrun(script: list[str], log: Path) -> subprocess.Popen[bytes]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = tiny.environment() | {"LINEAGE_ALLOW": "tests", "PYTHONPATH": str(tiny.ROOT)}
    with log.open("w") as output:
        return subprocess.Popen(
            [*launcher, *script], env=environment, stdout=output, stderr=output, start_new_session=True
        )


def find_rank(agent: int, rank: int) -> int:
    """Return the id of the process of a rank that torchrun has started."""
    for child in list_children(agent):
        if f"\0RANK={rank}\0".encode() in Path(f"/proc/{child}/environ").read_bytes():
            return child
    raise AssertionError("torchrun has not started it")


def list_children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
