"""Gain of a second process on a CPU: images per second of `train.py` with one and with two, which talk by gloo.

Mask R-CNN at tier mini, 8 images a step in all, one thread per process, in turns. The gradients of each step travel
through the loopback device.

Writes benchmarks/results/processes.md. Run: python benchmarks/processes.py [--steps 50] [--rounds 3]
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]
PROCESSES = (1, 2)
STARTED = 10  # steps that are not counted
COLUMN = "images_per_second"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    speeds: dict[int, list[float]] = {count: [] for count in PROCESSES}
    for _ in range(args.rounds):
        for count in PROCESSES:
            speeds[count].append(measure(count, args.steps))
            print(count, "processes:", speeds[count][-1], "images per second", flush=True)
    alone = statistics.median(speeds[1])
    rows = [[str(count), f"{statistics.median(all_):.1f}", f"{min(all_):.1f} to {max(all_):.1f}",
             f"{statistics.median(all_) / alone / count:.2f}"] for count, all_ in speeds.items()]  # fmt: skip
    head = ["processes", "images per second", f"range of {args.rounds} rounds", "of linear scaling"]
    table = "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])
    note = f"torch {torch.__version__}, {os.cpu_count()} cores of {platform.machine()}, {args.steps} steps a run"
    text = f"{(__doc__ or '').strip()}\n\n{table}\n\n{note}\n"
    (ROOT / "benchmarks/results/processes.md").write_text(text)
    print(table, note, sep="\n\n")


def measure(processes: int, steps: int) -> float:
    """Return the median images per second of a run, over all its processes."""
    trainer = ("trainer=cpu",) if processes == 1 else ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2")
    with tempfile.TemporaryDirectory() as folder:
        options = (
            "tier=mini", f"schedule.steps={steps}", "schedule.images_per_step=8", "trainer.log_every_n_steps=1",
            "data.workers=1", "dataset.val.length=4", f"hydra.run.dir={folder}/run", f"paths.results={folder}/results",
        )  # fmt: skip
        command = [sys.executable, str(ROOT / "train.py"), *trainer, *options]
        subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True, stdout=subprocess.DEVNULL)
        with Path(folder, "run", "metrics.csv").open() as file:
            values = [float(row[COLUMN]) for row in csv.DictReader(file) if row.get(COLUMN)]
    return statistics.median(values[STARTED:])


if __name__ == "__main__":
    main()
