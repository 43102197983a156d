"""When a training is evaluated on the way, and that nothing but its curve depends on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from lineage.config import digests
from lineage.config.evaluation_interval import choose_interval
from lineage.train.loggers import has_evaluation
from tests.train import tiny

BEST = {"best": {"monitor": "mask/AP"}}


def make_config(interval: object, callbacks: object = None, **keys: object) -> dict[str, Any]:
    schedule = {"steps": 1400, "images_per_step": 4, "evaluate_every": interval}
    return {"schedule": schedule, "callbacks": callbacks or {}, **keys}


@pytest.mark.parametrize(
    ("config", "val_images", "expected"),
    [
        (make_config("auto"), 200, 350),  # the main job: 600 images on the way beside 5,600 of the training
        (make_config("auto"), 300, 0),  # 900 are more than an eighth of them
        (make_config("auto", refit_images=200), 200, 0),  # SVMs are fitted after the training
        (make_config(100), 5000, 100),
        (make_config(0), 1, 0),
        ({"schedule": {"steps": 1401, "images_per_step": 4, "evaluate_every": "auto"}}, 200, 351),  # four, not five
        ({"schedule": {"steps": 9, "images_per_step": 4}}, 1, 0),  # of an entry from before the key
    ],
)
def test_interval(config: dict[str, Any], val_images: int, expected: int) -> None:
    assert choose_interval(config, val_images) == expected


def test_the_interval_is_part_of_a_digest_only_if_a_callback_waits_for_metrics() -> None:
    for digest in (digests.training_digest, digests.test_digest, digests.config_digest):
        plain = [digest(OmegaConf.create(make_config(n)) if digest is not digests.config_digest else make_config(n))
                 for n in (0, 100, "auto")]  # fmt: skip
        waiting = [digest(OmegaConf.create(make_config(n, BEST)) if digest is not digests.config_digest
                          else make_config(n, BEST)) for n in (100, 200)]  # fmt: skip
        assert len({*plain}) == 1
        assert len({*plain, *waiting}) == 3


def test_evaluations_on_the_way_change_neither_weights_nor_final_metrics(tmp_path: Path) -> None:
    options = (*tiny.TINY[:-1], "dataset.val.length=1", "logger=csv")
    once, often = tmp_path / "once", tmp_path / "often"
    tiny.train(tmp_path / "a", *options, "schedule.evaluate_every=0", f"hydra.run.dir={once}")
    tiny.train(tmp_path / "b", *options, f"hydra.run.dir={often}")
    evaluated = [[step for step in range(13) if has_evaluation(run / "metrics.csv", step)] for run in (once, often)]
    assert evaluated == [[12], [3, 6, 9, 12]]
    weights = [torch.load(run / "weights.pt") for run in (once, often)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    entries = [json.loads((run / "entry.json").read_text()) for run in (once, often)]
    same = ("metrics", "config_digest", "training_digest", "cell_digest", "evaluation_digest")
    assert [entries[0][name] for name in same] == [entries[1][name] for name in same]
