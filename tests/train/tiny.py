"""`python train.py` as a user types it, on a run of seconds."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

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


def losses(run: Path) -> list[float]:
    with (run / "metrics.csv").open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file) if row["loss"]]
