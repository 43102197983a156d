"""Each command that a run prints at its end is run: they work, on the data of the run."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lineage.data.export import coco
from lineage.data.shapes.dataset import Shapes
from lineage.results import store

LINEAGE = [sys.executable, "-m", "lineage.cli.main"]
SMALL = ("tier=smoke", "schedule.steps=2", "data.workers=0", "backbone=smoke")
DRAWN = ("dataset.train.length=2", "dataset.val.length=1", "dataset.size=[64,64]")


def run(folder: Path, *arguments: str, code: int = 0) -> str:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*LINEAGE, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == code, f"{shlex.join(arguments)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def read_commands(printed: str, name: str) -> list[list[str]]:
    """Return the words after `name` and on the lines below it, without the name of the program."""
    lines = printed.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"{name:8}"))
    below = next(
        (n for n, line in enumerate(lines[start + 1 :], start + 1) if not line.startswith(" " * 9)), len(lines)
    )
    commands = [shlex.split(line[9:]) for line in lines[start:below]]
    assert all(command[0] == "lineage" for command in commands), commands
    return [command[1:] for command in commands]


def run_all(folder: Path, printed: str, expected: tuple[str, ...]) -> None:
    """Run the commands after `next`; `expected` are the keys that they vary, and the rerun."""
    commands = read_commands(printed, "next")
    assert [command[-1].partition("=")[0] if "-m" in command else command[0] for command in commands] == [*expected]
    for command in commands:
        stored = len(store.contents(folder / "results").entries)
        output = run(folder, *command)
        if command[0] == "rerun":
            assert "EQUAL" in output
            continue
        if command[0] == "predict":
            assert json.loads((folder / "predictions/coco_results.json").read_text()) is not None
            continue
        entries = store.contents(folder / "results").entries
        assert len(entries) == stored + len(command[-1].split(","))
        assert {entry.status for entry in entries} == {"finished"}
        assert {entry.dataset["val"] for entry in entries} == {entries[0].dataset["val"]}  # the same data


@pytest.mark.slow
def test_after_a_run_on_a_folder_of_ones_own(tmp_path: Path) -> None:
    root = tmp_path / "my cells"
    coco.write(Shapes(seed=1, length=2, size=64), root, "train", "png")
    coco.write(Shapes(seed=2, length=1, size=64), root, "val", "png")
    printed = run(tmp_path, "train", "model=faster_rcnn", "dataset=coco", f"dataset.root={root}", *SMALL)
    run_all(tmp_path, printed, ("predict", "roi", "seed", "rerun"))


@pytest.mark.slow
def test_after_retinanet(tmp_path: Path) -> None:
    run_all(tmp_path, run(tmp_path, "train", "model=retinanet", *SMALL, *DRAWN), ("seed", "rerun"))


@pytest.mark.slow
def test_after_a_test_alone(tmp_path: Path) -> None:
    run(tmp_path, "train", "model=faster_rcnn", *SMALL, *DRAWN)
    (trained,) = (tmp_path / "runs").iterdir()
    typed = ("model=faster_rcnn", "evaluate_only=true", f"weights={trained}", *SMALL, *DRAWN)
    run_all(tmp_path, run(tmp_path, "train", *typed), ("tta", "rerun"))


@pytest.mark.slow
def test_after_weights_of_the_last_run(tmp_path: Path) -> None:
    """`last` was printed and repeated as it was typed, when it named another run, and none in the store of a rerun."""
    run(tmp_path, "train", "model=faster_rcnn", *SMALL, *DRAWN)
    (trained,) = (tmp_path / "runs").iterdir()
    printed = run(tmp_path, "train", "model=faster_rcnn", "weights=last", *SMALL, *DRAWN)
    entry = store.read(store.find(tmp_path / "results", "last"))
    assert f"weights=runs/{trained.name}" in entry.command
    run_all(tmp_path, printed, ("roi", "seed", "rerun"))


@pytest.mark.slow
def test_after_an_interruption_and_a_resume(tmp_path: Path) -> None:
    folder = tmp_path / "zwölf Läufe"  # which Hydra reads only in quotes
    folder.mkdir()
    typed = ("model=retinanet", *SMALL, *DRAWN, "schedule.steps=60", "checkpoint_every=1")
    process = subprocess.Popen(
        [*LINEAGE, "train", *typed], cwd=folder, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    while process.poll() is None and not any((folder / "runs").glob("*/checkpoints/*")):
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    interrupted, _ = process.communicate(timeout=300)
    (resume,) = read_commands(interrupted, "go on")
    printed = run(folder, *resume)
    for command in read_commands(printed, "next"):
        if command[0] == "rerun":  # of the whole run, from what was typed first
            assert "EQUAL" in run(folder, *command)
