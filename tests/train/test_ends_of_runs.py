"""However a run ends, its loggers are closed after its entry: the entry is in the store and on the tracker."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from subprocess import Popen

import pytest

from lineage.data.worker_signals import IS_POSIX
from lineage.results import store
from lineage.results.run_folder import RunFolder, list_checkpoints
from lineage.run.train import describe_stop
from lineage.train.loggers import TENSORBOARD
from tests.train import tiny

LOGGED = (*tiny.TINY, "logger=tensorboard")
TWO = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2")


def finish(process: Popen[str]) -> str:
    text, _ = process.communicate(timeout=300)
    return text


def check(folder: Path, run: Path, status: str) -> None:
    """Check that store, run folder and tracker hold one entry with this status, and the tracker every loss."""
    pytest.importorskip("tensorboard", reason="make setup installs tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (stored,) = store.contents(folder / "results").entries
    entry = json.loads((run / "entry.json").read_text())
    assert (stored.status, stored.id) == (status, entry["id"])
    events = EventAccumulator(str(run / TENSORBOARD)).Reload()
    text = events.Tensors("entry/text_summary")[-1].tensor_proto.string_val[0].decode()
    assert f'"id": "{entry["id"]}"' in text
    assert f'"status": "{status}"' in text
    assert [event.value for event in events.Scalars("loss")] == pytest.approx(tiny.losses(run), rel=1e-5)


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("options", [(), pytest.param(TWO, marks=pytest.mark.slow)], ids=["alone", "two processes"])
def test_a_run_that_a_scheduler_stops(tmp_path: Path, options: tuple[str, ...]) -> None:
    run = tmp_path / "run"
    process = tiny.start(tmp_path, *LOGGED, *options, "schedule.steps=1000", f"hydra.run.dir={run}")
    tiny.wait_for(run / "checkpoints" / "step-0000003.ckpt", process)
    process.send_signal(signal.SIGTERM)
    text = finish(process)
    assert process.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in text
    assert "logger tensorboard" not in text  # a warning
    step = max(list_checkpoints(run / "checkpoints"))
    assert f"stopped  at step {step:,} of 1,000\n" in text
    check(tmp_path, run, "stopped")


def test_the_line_of_a_stop_names_the_step_that_is_lost(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert describe_stop(7, 2000, folder) == "stopped  at step 7 of 2,000; it goes on from step 0, the start"
    folder.checkpoints.mkdir()
    for step in (3, 1250):
        (folder.checkpoints / f"step-{step:07d}.ckpt").touch()
    assert describe_stop(1250, 2000, folder) == "stopped  at step 1,250 of 2,000"
    expected = "stopped  at step 1,260 of 2,000; it goes on from step 1,250, its checkpoint"
    assert describe_stop(1260, 2000, folder) == expected


@pytest.mark.slow
@pytest.mark.skipif(not IS_POSIX, reason="POSIX without macOS")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_a_run_whose_workers_get_the_signal_too(tmp_path: Path, number: int) -> None:
    """Workers that ended at once ended the run by a traceback of 50 lines, without a checkpoint."""
    run = tmp_path / "run"
    options = ("schedule.steps=1000", "data.workers=2", f"hydra.run.dir={run}")
    process = tiny.start(tmp_path, *LOGGED, *options, in_new_group=True)
    tiny.wait_for(run / "checkpoints" / "step-0000003.ckpt", process)
    os.killpg(process.pid, number)
    text = finish(process)
    assert process.returncode == 128 + number
    assert "Traceback" not in text
    assert [line.split()[0] for line in text.splitlines()[-2:]] == ["entry", "go"]
    assert max(list_checkpoints(run / "checkpoints")) == len(tiny.losses(run))
    check(tmp_path, run, "stopped")


@pytest.mark.slow
def test_a_run_that_fails(tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = tiny.start(tmp_path, *LOGGED, "schedule.steps=200", "optimizer.lr=1e20", f"hydra.run.dir={run}")
    assert "logger tensorboard" not in finish(process)
    assert process.returncode != 0
    check(tmp_path, run, "failed")


@pytest.mark.slow
def test_a_run_of_two_processes(tmp_path: Path) -> None:
    run = tmp_path / "run"
    tiny.train(tmp_path, *LOGGED, *TWO, f"hydra.run.dir={run}")
    check(tmp_path, run, "finished")
