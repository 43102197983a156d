"""Two processes are one process with twice the images: same losses, same weights, same entry, one run folder."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lineage.results.run_folder import read_metrics
from lineage.train.loggers import CsvLogger, RunName
from tests.train import tiny, toy

# Rounding grows through NMS and sampling, which are discontinuous: in float32 two equal runs drift apart in ten steps.
EQUAL = (*tiny.TINY, "schedule.steps=20", "schedule.milestones=[15]", "trainer.precision=64-true")
LOGGED = ("loss", "roi_cls/accuracy", "grad_norm")
TWO = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2")


def fit_toy(rank: int, folder: Path, accumulated: int, devices: int) -> None:
    """Train a toy of six steps as one of `devices` processes; write its weights and its curves."""
    module = toy.detection_module(images=4 * accumulated)
    module.model.body[2].p = 0.0
    folder.mkdir(exist_ok=True)
    logger = CsvLogger(folder=folder, name=RunName("id", "table", "row", 0), start=0)
    strategy = "ddp" if devices == 2 else "auto"
    options = {"devices": devices, "strategy": strategy, "accumulate_grad_batches": accumulated}
    toy.trainer(6, logger=logger, **options).fit(module, toy.ToyData(size=4))
    torch.save(module.model.state_dict(), folder / f"{rank}.pt")


@pytest.mark.parametrize("accumulated", [1, 2])
def test_two_toys_equal_one(accumulated: int, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    fit_toy(0, one, accumulated, 1)
    toy.run_in_two_processes(fit_toy, two, accumulated, 2)
    expected = torch.load(one / "0.pt", weights_only=True)
    for rank in (0, 1):
        weights = torch.load(two / f"{rank}.pt", weights_only=True)
        torch.testing.assert_close(weights, expected, rtol=0, atol=1e-6)
    curves = [
        [[float(row[name]) for name in LOGGED] for row in read_metrics(folder / "metrics.csv")] for folder in (one, two)
    ]
    assert curves[0]
    torch.testing.assert_close(torch.tensor(curves[1]), torch.tensor(curves[0]), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["gn", "sync_bn"])
def test_the_command_line_with_two_processes_equals_one(tmp_path: Path, norm: str) -> None:
    single, double = tmp_path / "one", tmp_path / "two"
    options = (*EQUAL, f"backbone.norm={norm}")
    tiny.train(tmp_path, *options, f"hydra.run.dir={single}")
    tiny.train(tmp_path, *options, *TWO, f"hydra.run.dir={double}")
    assert len(tiny.losses(single)) == 20
    assert tiny.losses(double) == pytest.approx(tiny.losses(single), abs=1e-4)
    entries = [json.loads((run / "entry.json").read_text()) for run in (single, double)]
    assert [entry["processes"] for entry in entries] == [1, 2]
    assert entries[0]["config_digest"] == entries[1]["config_digest"]
    assert entries[0]["metrics"] == pytest.approx(entries[1]["metrics"])
    assert sorted(path.name for path in double.iterdir()) == sorted(path.name for path in single.iterdir())


@pytest.mark.slow
def test_a_sweep_of_two_process_jobs_runs_each_job_once(tmp_path: Path) -> None:
    few = ("schedule.steps=2", "schedule.milestones=[1]", "schedule.warmup_steps=1")
    tiny.train(tmp_path, "-m", *tiny.TINY, *few, *TWO, "seed=0,1")
    entries = [json.loads(path.read_text()) for path in (tmp_path / "results").rglob("*.json")]
    assert sorted(entry["seed"] for entry in entries) == [0, 1]
    assert {(entry["processes"], entry["status"]) for entry in entries} == {(2, "finished")}
    assert len(list((tmp_path / "runs").glob("*-sweep/*/entry.json"))) == 2


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux does it")
def test_no_process_outlives_a_killed_first_one(tmp_path: Path) -> None:
    first = _start_two(tmp_path, tmp_path / "run")
    assert len(_processes(tmp_path)) == 2
    first.kill()
    first.wait()
    _until(lambda: not _processes(tmp_path), 10)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux does it")
def test_a_run_that_loses_its_second_process_says_so_in_one_line(tmp_path: Path) -> None:
    run = tmp_path / "run"
    first = _start_two(tmp_path, run)
    (second,) = {*map(int, _processes(tmp_path))} - {first.pid}
    os.kill(second, signal.SIGKILL)
    output = first.communicate(timeout=120)[0]
    assert first.returncode == 1
    assert "Traceback" not in output
    assert "another process of this run has ended" in output.splitlines()[-1]
    assert json.loads((run / "entry.json").read_text())["status"] == "failed"


def _start_two(folder: Path, run: Path) -> subprocess.Popen[str]:
    """Start a long run of two processes; return the first one after a checkpoint."""
    first = tiny.start(folder, *tiny.TINY, *TWO, "schedule.steps=1000", f"hydra.run.dir={run}")
    _until(lambda: any((run / "checkpoints").glob("step-*.ckpt")), 300)
    return first


def _processes(folder: Path) -> list[str]:
    """Return the ids of the processes with this folder on their command line."""
    listing = subprocess.run(["pgrep", "-f", str(folder)], capture_output=True, text=True, check=False)
    return listing.stdout.split()


def _until(true: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.2)
