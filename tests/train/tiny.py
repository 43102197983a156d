"""`python train.py` as a user types it, on a run of seconds."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from pathlib import Path

from lineage.results.run_folder import checkpoint_name

ROOT = Path(__file__).parents[2]
TINY = (
    "model=mask_rcnn", "trainer=cpu", "schedule.steps=12", "schedule.images_per_step=2", "schedule.milestones=[9]",
    "schedule.warmup_steps=4", "optimizer.lr=0.005", "dataset.size=[64,64]", "dataset.train.length=16",
    "dataset.val.length=2", "data.workers=0", "trainer.log_every_n_steps=1", "checkpoint_every=3",
)  # fmt: skip


def command(folder: Path, *overrides: str) -> list[str]:
    places = (f"paths.results={folder / 'results'}", f"paths.runs={folder / 'runs'}")
    return [sys.executable, str(ROOT / "train.py"), *overrides, *places]


def environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1"}


def start(folder: Path, *overrides: str, in_new_group: bool = False) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(folder, *overrides), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=in_new_group,
    )  # fmt: skip


def train(folder: Path, *overrides: str) -> str:
    done = subprocess.run(command(folder, *overrides), env=environment(), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    for _ in range(3000):
        if path.exists():
            return
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    raise AssertionError(f"{path} never came")


def kill_at(step: int, folder: Path, run: Path, *overrides: str) -> None:
    """Train in the run folder `run`, and kill -9 when the checkpoint of a step is there."""
    process = start(folder, *overrides, f"hydra.run.dir={run}")
    wait_for(run / "checkpoints" / checkpoint_name(step), process)
    process.kill()
    process.communicate()


def losses(run: Path) -> list[float]:
    with (run / "metrics.csv").open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file) if row["loss"]]
