"""However a run ends, its loggers are closed after its entry: the entry is in the store and on the tracker."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from subprocess import Popen

import pytest

from lineage.results import store
from lineage.train.loggers import TENSORBOARD
from tests.train import tiny
from tests.train.test_resume import wait_for

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
    wait_for(run / "checkpoints" / "step-0000003.ckpt", process)
    process.send_signal(signal.SIGTERM)
    text = finish(process)
    assert "Traceback" not in text
    assert "logger tensorboard" not in text  # a warning
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
