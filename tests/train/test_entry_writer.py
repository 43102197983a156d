"""The entry of a run holds how the run ended."""

import errno
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lineage.data.samples.image import ImageError
from lineage.results import store
from lineage.results.entry import parse
from lineage.train import rank_watch
from lineage.train.entry_writer import EntryWriter, unwrap_worker_error, write_at_end
from lineage.train.rank_watch import watch_ranks
from lineage.train.stop_signals import SIGNALS
from tests.train import tiny


def make_writer(folder: Path) -> EntryWriter:
    facts: dict[str, Any] = {"id": "20260101T000000Z-aaaaaaaa-bbbbbb", "folder": str(folder), "config": {}}
    facts |= {"choices": {}, "table": None, "row": None, "tier": "mini", "deviations": [], "seed": 0}
    facts |= {"config_digest": "p", "evaluation_digest": "e", "command": [], "commit": None, "dirty": True}
    return EntryWriter(folder / "results", datetime.now(UTC), facts, lambda: {"metrics": {"box/AP": 1.0}, "steps": 7})


def interrupt(number: int = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)
    time.sleep(5)


def interrupt_with_workers() -> None:
    try:
        interrupt()
    except KeyboardInterrupt:
        raise RuntimeError("DataLoader worker is killed by signal: Terminated.")  # noqa: B904


def fail() -> Any:
    raise RuntimeError("out of memory")


@pytest.mark.parametrize(
    ("body", "raised", "status", "error"),
    [
        (lambda: None, None, "finished", None),
        (fail, RuntimeError, "failed", "RuntimeError: out of memory"),
        (interrupt, SystemExit, "stopped", "stopped by the user or the scheduler"),
        (interrupt_with_workers, SystemExit, "stopped", "stopped by the user or the scheduler"),
    ],
    ids=["finished", "failed", "stopped", "stopped with workers"],
)
def test_the_entry_says_how_it_ended(
    tmp_path: Path, body: Callable[[], None], raised: type[BaseException] | None, status: str, error: str | None
) -> None:
    writer = make_writer(tmp_path)
    if raised is None:
        with write_at_end(writer):
            body()
    else:
        with pytest.raises(raised), write_at_end(writer):
            body()
    assert writer.path is not None
    entry = store.read(writer.path)
    assert (entry.status, entry.error, entry.steps, entry.metrics) == (status, error, 7, {"box/AP": 1.0})
    assert json.loads((tmp_path / "entry.json").read_text())["id"] == entry.id


def test_a_failure_that_breaks_even_the_progress_is_recorded(tmp_path: Path) -> None:
    writer = make_writer(tmp_path)
    writer.get_progress = fail
    with pytest.raises(KeyError), write_at_end(writer):
        raise KeyError("device-side assert")
    entry = json.loads((tmp_path / "entry.json").read_text())
    assert (entry["status"], entry["error"], entry["metrics"]) == ("failed", "KeyError: 'device-side assert'", {})


def test_without_room_in_the_store_the_run_folder_has_the_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def is_full(*_: object) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device", "results/x.json")

    monkeypatch.setattr(store, "write", is_full)
    writer = make_writer(tmp_path)
    with pytest.raises(OSError, match="No space left"), write_at_end(writer):
        pass  # a finished run fails if the store does not have its entry
    assert writer.path == tmp_path / "entry.json"
    assert parse(writer.path.read_text()).status == "finished"
    failed = make_writer(tmp_path)
    with pytest.raises(RuntimeError, match="out of memory"), write_at_end(failed):
        fail()
    assert caplog.messages[0].startswith("no entry in the store: results/x.json: no room is left on the disk")


def test_without_room_in_the_run_folder_the_store_has_the_entry(tmp_path: Path) -> None:
    writer = make_writer(tmp_path)
    (tmp_path / "entry.json").mkdir()  # which no file can replace
    with write_at_end(writer):
        pass
    assert writer.path is not None
    assert store.read(writer.path).status == "finished"


@pytest.mark.parametrize("number", SIGNALS)
def test_the_exit_code_of_a_signal_is_that_of_a_shell(tmp_path: Path, number: int) -> None:
    with pytest.raises(SystemExit) as end, write_at_end(make_writer(tmp_path)):
        interrupt(number)
    assert end.value.code == 128 + number


def test_an_error_of_a_run_that_stops_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(SystemExit), write_at_end(make_writer(tmp_path)):
        interrupt_with_workers()
    assert caplog.messages == [
        "while the run stopped: RuntimeError: DataLoader worker is killed by signal: Terminated."
    ]


def test_the_signal_handler_is_given_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with write_at_end(make_writer(tmp_path)):
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_an_error_of_a_loading_process_is_its_message() -> None:
    wrapped = ImageError(
        "Caught ImageError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n  File ...\n"
        "lineage.data.samples.image.ImageError: a.jpg: cut off\nFetch it again.\n"
    )
    assert str(unwrap_worker_error(wrapped)) == "a.jpg: cut off\nFetch it again."
    plain = RuntimeError("Caught RuntimeError in DataLoader worker process 0.")
    assert unwrap_worker_error(plain) is plain


def test_a_dead_rank_is_recorded(tmp_path: Path) -> None:
    writer = make_writer(tmp_path)
    watch_ranks(writer, SimpleNamespace(procs=[SimpleNamespace(poll=lambda: 3, pid=os.getpid())]))
    for _ in range(100):
        if writer.path is not None:
            break
        time.sleep(0.05)
    assert writer.path is not None
    assert store.read(writer.path).error == "process 1 ended with code 3; its message is on the terminal"


def test_a_rank_that_was_stopped_is_killed_and_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_watch, "STOPPED", 0.5)
    process = subprocess.Popen(["sleep", "60"])
    writer = make_writer(tmp_path)
    watch_ranks(writer, SimpleNamespace(procs=[process]))
    time.sleep(0.6)
    assert process.poll() is None  # it runs, so it is left alone
    process.send_signal(signal.SIGSTOP)
    assert process.wait(10) == -signal.SIGKILL
    for _ in range(100):
        if writer.path is not None:
            break
        time.sleep(0.05)
    assert writer.path is not None
    assert store.read(writer.path).error == "process 1 ended with code -9; its message is on the terminal"


@pytest.mark.slow
def test_sigterm_stops_a_run_that_can_go_on(tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = tiny.start(tmp_path, *tiny.TINY, "schedule.steps=500", "data.workers=1", f"hydra.run.dir={run}")
    tiny.wait_for(run / "checkpoints" / "step-0000003.ckpt", process)
    process.terminate()
    output = process.communicate(timeout=60)[0]
    entry = json.loads((run / "entry.json").read_text())
    assert (process.returncode, entry["status"]) == (143, "stopped")
    assert f"python train.py resume={run}" in output
    assert "KeyboardInterrupt" not in output


@pytest.mark.slow
def test_divergence_is_one_message_and_a_failed_entry(tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = tiny.start(tmp_path, *tiny.TINY, "optimizer.lr=1e9", f"hydra.run.dir={run}")
    output = process.communicate(timeout=300)[0]
    entry = json.loads((run / "entry.json").read_text())
    assert (process.returncode, entry["status"]) == (1, "failed")
    assert "The loss is not finite at step" in output
    assert entry["error"].startswith("NonFiniteLoss: The loss is not finite at step")
    assert "Traceback" not in output
    assert "Traceback" in (run / "run.log").read_text()
