"""The run folder: names of all its files, and what other runs take from it. docs/run_folder.md describes each file.

runs/20261123-040305-104512/
    config.yaml  start.json  run.log                       from the start of the run
    checkpoints/step-0000500.ckpt  metrics.csv             during it
    weights.pt  entry.json  results.json  report.html ...  at its end
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

CHECKPOINT = re.compile(r"step-(\d+)\.ckpt")


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The files of one run. A run in progress, or one that was killed, has the first of them."""

    path: Path

    @classmethod
    def containing(cls, file: Path) -> RunFolder | None:
        """Return the run folder that a file of weights or a checkpoint lies in, or None."""
        folders = (cls(folder) for folder in list(file.parents)[:2])
        return next((folder for folder in folders if folder.config.is_file()), None)

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def start(self) -> Path:
        return self.path / "start.json"

    @property
    def run_log(self) -> Path:
        return self.path / "run.log"

    @property
    def terminal_log(self) -> Path:
        return self.path / "terminal.log"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.csv"

    @property
    def statistics(self) -> Path:
        return self.path / "statistics.csv"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def weights(self) -> Path:
        return self.path / "weights.pt"

    @property
    def proposals(self) -> Path:
        return self.path / "proposals"

    @property
    def labels(self) -> Path:
        return self.path / "labels.json"

    @property
    def entry(self) -> Path:
        return self.path / "entry.json"

    @property
    def results(self) -> Path:
        return self.path / "results.json"

    @property
    def per_class(self) -> Path:
        return self.path / "per_class.json"

    @property
    def classes(self) -> Path:
        return self.path / "classes.json"

    @property
    def calibration_diagram(self) -> Path:
        return self.path / "calibration.svg"

    @property
    def pictures(self) -> Path:
        return self.path / "pictures"

    @property
    def profile(self) -> Path:
        return self.path / "profile"

    @property
    def calibration(self) -> Path:
        return self.path / "calibration.json"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    def artifact(self, role: str) -> Path:
        """Return the file or folder that a later run takes: role is "start" (the weights), "proposals" or "labels"."""
        return {"start": self.weights, "proposals": self.proposals, "labels": self.labels}[role]

    def list_checkpoints(self) -> dict[int, Path]:
        """Return the complete checkpoints by step, oldest first."""
        return list_checkpoints(self.checkpoints)


def find_open_run(runs: Path, since: float) -> Path | None:
    """Return the folder, below `runs` or a sweep there, of the newest run that was killed or is in progress, or None.

    Such a run still holds its lease, a file that it touches as long as it lives: at `since` or later.
    """
    leases = [path for pattern in ("*/run.*.lease", "*/*/run.*.lease") for path in runs.glob(pattern)]
    alive = {path.stat().st_mtime: path.parent for path in leases}
    return alive[max(alive)] if alive and max(alive) >= since else None


def list_checkpoints(folder: Path) -> dict[int, Path]:
    """Return the complete checkpoints of a folder by step, oldest first."""
    paths = {int(match[1]): path for path in folder.glob("step-*.ckpt") if (match := CHECKPOINT.fullmatch(path.name))}
    return dict(sorted(paths.items()))


def step_of(part: float, steps: int) -> int:
    """Return the step at the end of a part of a training, e.g. 450 of 0.75 and 600 steps."""
    return round(part * steps)


def checkpoint_name(step: int) -> str:
    return f"step-{step:07d}.ckpt"


def read_metrics(path: Path) -> list[dict[str, str]]:
    """Read metrics.csv: a dict per logged step; empty if there is no such file."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
