"""DeepMark learns 32 drawn garments by heart: every part of it, from targets to refinement and scores, has to fit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.train import tiny

CHOICES = (
    "model=deepmark", "dataset=shapes_garments", "trainer=cpu", "logger=none", "data.workers=0",
    "dataset.train.length=32", "dataset.val.length=32", "dataset.val.seed=1",  # the same images
    "augment.train.transforms=[{_target_:torch.nn.Identity}]",
    "optimizer.lr=0.003", "optimizer.weight_decay=0.0",
    "schedule.evaluate_every=1000", "schedule.steps=1000", "schedule.warmup_steps=50",
    "schedule.milestones=[600,750,850,920,970]", "schedule.gamma=0.5",
    "schedule.images_per_step=8", "data.images_per_device=8",
)  # fmt: skip


@pytest.mark.slow
def test_landmarks_of_32_garments_are_learned_by_heart(tmp_path: Path) -> None:
    tiny.train(tmp_path, *CHOICES)
    (entry,) = (tmp_path / "results").rglob("*.json")
    metrics = json.loads(entry.read_text())["metrics"]
    assert metrics["keypoint/AP"] > 90
    assert metrics["box/AP"] > 80
