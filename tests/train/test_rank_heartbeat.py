"""A process of a distributed run that is stopped, or hangs in its data, ends the run with a message, soon."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
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
    watch = Watch(looks=3, timeout=30.0)
    faults = [watch.fault([state(0, look, look), state(1, min(look, 5), look)]) for look in range(10)]
    assert faults[:8] == [None] * 8
    assert faults[8] == "process 1 (pid 41 on node) has given no sign of life for 30 s"


def test_of_processes_that_stand_still_the_last_is_named() -> None:
    """Process 1 hangs at mark 5; the others have passed it and wait for it in a collective."""
    watch = Watch(looks=3, timeout=30.0)
    faults = [watch.fault([state(0, n, min(n, 6)), state(1, n, min(n, 5)), state(2, n, min(n, 6))]) for n in range(12)]
    message = next(filter(None, faults))
    assert message == "process 1 (pid 41 on node) has finished no batch of training for 30 s"


def test_scoring_and_the_end_are_not_timed() -> None:
    watch = Watch(looks=3, timeout=30.0)
    states = [[state(0, n, 7, "scoring"), state(1, min(n, 2), 7, "end")] for n in range(20)]
    assert [watch.fault(looks) for looks in states] == [None] * 20


def test_a_run_that_was_suspended_as_a_whole_goes_on() -> None:
    """Looks are counted: between two of them any time may pass."""
    watch = Watch(looks=2, timeout=30.0)
    assert [watch.fault([state(0, n, n), state(1, n, n)]) for n in range(3)] == [None] * 3


class Store(dict[str, str]):
    """A store without other processes."""

    def set(self, key: str, value: str) -> None:
        self[key] = value

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


def test_a_store_that_does_not_answer_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    heartbeat = RankHeartbeat(0.2)
    monkeypatch.setattr(rank_heartbeat.os, "_exit", lambda code: (heartbeat._over.set(), ended.set()))
    threading.Thread(target=heartbeat._judge_store, args=(Store(), 2), daemon=True).start()
    assert ended.wait(10)


class HangInBatch3(Callback):
    """A loader of the second process that never returns."""

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if trainer.global_rank == 1 and batch_idx == 3:
            time.sleep(3600)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("stopped", [0, 1, None])
def test_torchrun_ends_when_a_process_is_stopped_or_hangs(tmp_path: Path, stopped: int | None) -> None:
    run = tmp_path / "run"
    options = [*tiny.TINY, "schedule.steps=5000", f"hydra.run.dir={run}", "trainer=ddp", "trainer.accelerator=cpu"]
    options += ["trainer.devices=2", "rank_timeout=6"]
    options += [f"+callbacks.hang._target_={__name__}.HangInBatch3"] if stopped is None else []
    script = tiny.command(tmp_path, *options)[1:]
    agent = start_torchrun(script, tmp_path / "log")
    try:
        if stopped is not None:
            while not list_checkpoints(run / "checkpoints"):
                assert agent.poll() is None, (tmp_path / "log").read_text()
                time.sleep(0.2)
            os.kill(find_rank(agent.pid, stopped), signal.SIGSTOP)
        assert agent.wait(180) != 0  # torchrun gives the stopped process 30 s after SIGTERM
    finally:
        if agent.poll() is None:
            os.killpg(agent.pid, signal.SIGKILL)
    text = (tmp_path / "log").read_text()
    failure = "has finished no batch of training" if stopped is None else "has given no sign of life"
    message = f"{failure} for 6 s; the run ends. rank_timeout=SECONDS sets the limit"
    assert f"process {1 if stopped is None else stopped} (pid " in text
    assert message in text
    if stopped != 0:  # which alone writes the entry
        entry = json.loads((run / "entry.json").read_text())
        assert entry["status"] == "failed"
        assert message in entry["error"]


def start_torchrun(script: list[str], log: Path) -> subprocess.Popen[bytes]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = tiny.environment() | {"LINEAGE_ALLOW": "tests", "PYTHONPATH": str(tiny.ROOT)}
    with log.open("w") as output:
        return subprocess.Popen(
            [*launcher, *script], env=environment, stdout=output, stderr=output, start_new_session=True
        )


def find_rank(agent: int, rank: int) -> int:
    """Return the id of the process of a rank that torchrun has started."""
    for child in Path(f"/proc/{agent}/task/{agent}/children").read_text().split():
        if f"\0RANK={rank}\0".encode() in Path(f"/proc/{child}/environ").read_bytes():
            return int(child)
    raise AssertionError("torchrun has not started it")
