"""Fine-tuning on real photographs, from real weights: the numbers are in benchmarks/results/penn_fudan.md."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_a_pretrained_body_finds_pedestrians_within_minutes(real_data: Path, tmp_path: Path) -> None:
    if not (real_data / "penn_fudan").is_dir():
        pytest.skip(f"no penn_fudan in {real_data}")
    command = [
        sys.executable, "train.py", "dataset=penn_fudan", f"dataset.root={real_data / 'penn_fudan'}", "tier=mini",
        "augment=flip_320", "backbone=mobilenet_v1_075", "schedule.steps=120", "schedule.milestones=[90,110]",
        "schedule.gamma=0.1",
        f"backbone.weights={real_data / 'mobilenet_v1_075_imagenet/mobilenet_v1_0.75_224'}",
        f"paths.runs={tmp_path / 'runs'}", f"paths.results={tmp_path / 'results'}",
    ]  # fmt: skip
    subprocess.run(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "2"}, check=True, timeout=1800)
    (entry,) = (tmp_path / "results").rglob("*.json")
    metrics = json.loads(entry.read_text())["metrics"]
    assert metrics["box/AP50"] > 50
    assert metrics["mask/AP50"] > 40
