"""Trainings of seconds, as a user starts them, and what they leave: two that agree bit for bit leave the same."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from benchmarks.robustness.forks import ENVIRONMENT, Fork, ForkServer
from benchmarks.robustness.report import ROOT

from lineage.results import store
from lineage.results.entry import Entry
from lineage.results.run_folder import RunFolder, read_metrics
from lineage.train.progress import METERS

TINY = (
    "model=mask_rcnn", "trainer=cpu", "schedule.steps=12", "schedule.images_per_step=2", "schedule.milestones=[9]",
    "schedule.warmup_steps=4", "schedule.evaluate_every=6", "optimizer.lr=0.005", "dataset.size=[64,64]",
    "dataset.train.length=16", "dataset.val.length=4", "data.workers=0", "trainer.log_every_n_steps=1",
    "checkpoint_every=3",
)  # fmt: skip
TWO = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2")
TABLE, ROW, SEEDS = "mask_rcnn/table2c", "roi_align", 2
SERVERS: list[ForkServer] = []  # one, started when it is first needed


Process = subprocess.Popen[bytes] | Fork


def start(command: Sequence[str], folder: Path, cwd: Path = ROOT) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own, so that it can be ended with all that it started."""
    with (folder / "log").open("ab") as output:
        return subprocess.Popen(
            command, cwd=cwd, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip


def train_command(folder: Path, *overrides: str) -> list[str]:
    """Return the command of a training with its results and its runs below `folder`."""
    return [sys.executable, str(ROOT / "train.py"), *overrides, *list_places(folder)]


def list_places(folder: Path) -> tuple[str, str]:
    """Return the overrides that keep results and runs below `folder`."""
    return f"paths.results={folder / 'results'}", f"paths.runs={folder / 'runs'}"


@dataclass(frozen=True, slots=True)
class Training:
    """One run of train.py: killed, it is resumed; killed before it began, it is started again."""

    name: str
    options: tuple[str, ...]

    def prepare(self, folder: Path) -> None:
        folder.mkdir(parents=True)

    def start(self, folder: Path, trace: Sequence[str] = ()) -> list[Process]:
        """Start what a user types at first, and again after a kill."""
        run = folder / "run"
        is_begun = (run / "start.json").is_file() and (run / "config.yaml").is_file()
        options = (f"resume={run}",) if is_begun else (*self.options, f"hydra.run.dir={run}")
        if not SERVERS:
            SERVERS.append(ForkServer())
        return [SERVERS[0].start([*options, *list_places(folder)], folder / "log", trace)]

    def has_begun(self, folder: Path) -> bool:
        return (folder / "run/start.json").is_file()

    def is_done(self, folder: Path) -> bool:
        return any(entry.status == "finished" for entry in store.contents(folder / "results").entries)


@dataclass(frozen=True, slots=True)
class Runners:
    """Two `lineage run` of one table side by side; killed, one is started again."""

    name: str

    def prepare(self, folder: Path) -> None:
        """Copy the checkout's configs and tables, with 16 and 4 images in place of thousands, and 8 steps."""
        folder.mkdir(parents=True)
        for name in ("conf", "experiments"):
            shutil.copytree(ROOT / name, folder / name)
        shutil.copy(ROOT / "train.py", folder)
        replace(folder / "conf/dataset/shapes.yaml", {"length: 2000": "length: 16", "length: 200\n": "length: 4\n"})
        replace(folder / "conf/schedule/smoke.yaml", {"steps: 4\n": "steps: 8\n", "[3]": "[6]"})

    def start(self, folder: Path, trace: Sequence[str] = ()) -> list[Process]:
        """Start two runners at first, the first under `trace`, and one after a kill."""
        options = ["--tier", "smoke", "--seeds", str(SEEDS), "--set", "trainer=cpu", "--set", "data.workers=0"]
        options += ["--set", "checkpoint_every=2", "--set", "trainer.log_every_n_steps=1"]
        command = [sys.executable, "-m", "lineage.cli.main", "run", TABLE, ROW, *options]
        others = [] if self.has_begun(folder) else [command]
        return [start(words, folder, folder) for words in ([*trace, *command], *others)]

    def has_begun(self, folder: Path) -> bool:
        return any(folder.glob("runs/**/start.json"))

    def is_done(self, folder: Path) -> bool:
        finished = [entry for entry in store.contents(folder / "results").entries if entry.status == "finished"]
        return len({entry.seed for entry in finished}) == SEEDS


def replace(path: Path, texts: dict[str, str]) -> None:
    """Replace texts of a file. Raises ValueError if it lacks one of them."""
    text = path.read_text(encoding="utf-8")
    for old, new in texts.items():
        if old not in text:
            raise ValueError(f"{path} has no {old!r}")
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")


def compare(killed: Path, whole: Path) -> list[str]:
    """Return what a killed and resumed training left otherwise than the unbroken one; empty if nothing."""
    contents = {folder: store.contents(folder / "results") for folder in (killed, whole)}
    faults = [f"half an entry: {damage.path.name}: {damage.reason}" for damage in contents[killed].damaged]
    finished = {folder: [e for e in contents[folder].entries if e.status == "finished"] for folder in contents}
    seeds = {folder: sorted(entry.seed for entry in finished[folder]) for folder in contents}
    if seeds[killed] != seeds[whole]:
        return [*faults, f"finished entries of seeds {seeds[killed]}, not {seeds[whole]}"]
    for ours, theirs in zip(*(sorted(finished[folder], key=by_seed) for folder in (killed, whole)), strict=True):
        faults += compare_runs(ours, find_run(ours, killed), theirs, find_run(theirs, whole))
    return faults


def by_seed(entry: Entry) -> int:
    return entry.seed


def find_run(entry: Entry, folder: Path) -> RunFolder:
    """Return the run folder below `folder` that holds the copy of an entry."""
    copies = [path for path in folder.rglob("entry.json") if json.loads(path.read_text())["id"] == entry.id]
    if len(copies) != 1:
        raise ValueError(f"{len(copies)} run folders below {folder} hold entry {entry.id}")
    return RunFolder(copies[0].parent)


def compare_runs(ours: Entry, run: RunFolder, theirs: Entry, other: RunFolder) -> list[str]:
    """Return what two finished runs have otherwise: weights, metrics, curves, detections, digests."""
    faults = []
    weights, expected = torch.load(run.weights), torch.load(other.weights)
    if set(weights) != set(expected) or not all(torch.equal(weights[name], expected[name]) for name in expected):
        faults.append("other weights")
    for name in ("metrics", "config_digest", "training_digest", "evaluation_digest", "trained_weights_sha256", "steps"):
        if getattr(ours, name) != getattr(theirs, name):
            faults.append(f"{name} {getattr(ours, name)}, not {getattr(theirs, name)}")
    if read_curves(run) != read_curves(other):
        faults.append("other lines in metrics.csv")
    for path in (run.results, run.per_class):
        if path.read_bytes() != (other.path / path.name).read_bytes():
            faults.append(f"other {path.name}")
    return faults


def read_curves(run: RunFolder) -> list[dict[str, Any]]:
    """Return the lines of metrics.csv without what a clock measures or a resume writes later."""
    return [{name: text for name, text in row.items() if name not in METERS} for row in read_metrics(run.metrics)]
