"""Two processes with uneven shares, repeated images and one empty share score as one process does."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing

from lineage.eval.coco import CocoEvaluator
from lineage.structures import Batch, Detections
from tests.eval.scenes import World, batch, guesses, world

# The images of each process, per round: a sampler that pads with repeats, and a process without images.
ROUNDS = [[[0, 1, 2, 3, 4], [5, 6, 0, 1]], [[], [0, 1, 2, 3, 4, 5, 6]]]


def scene_and_detections() -> tuple[World, Detections]:
    scene = world(np.random.default_rng(3), images=7)
    found = guesses(np.random.default_rng(4), scene)
    return scene, found._replace(keypoints=torch.rand(*found.scores.shape, 17, 3))


def share(images: list[int], found: Detections, whole: Batch) -> tuple[Detections, Batch]:
    part = whole._replace(
        images=whole.images._replace(sizes=whole.images.sizes[images]),
        ids=whole.ids[images],
        originals=whole.originals[images],
    )
    return Detections(*(column[images] if column is not None else None for column in found)), part


def process(rank: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    scene, found = scene_and_detections()
    evaluator = CocoEvaluator(dataset=scene)
    for number, shares in enumerate(ROUNDS):
        if shares[rank]:
            evaluator.update(*share(shares[rank], found, batch(scene)))
        answer = {"metrics": evaluator.compute(), "per_class": evaluator.per_class(), "records": evaluator.results()}
        Path(folder, f"{number}-{rank}.json").write_text(json.dumps(answer))
    dist.destroy_process_group()


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def test_two_processes_score_as_one(tmp_path: Path) -> None:
    scene, found = scene_and_detections()
    alone = CocoEvaluator(dataset=scene)
    alone.update(found, batch(scene))
    metrics = alone.compute()
    records = sorted(alone.results(), key=lambda record: record["image_id"])
    torch.multiprocessing.spawn(process, args=(free_port(), str(tmp_path)), nprocs=2)
    answers = [json.loads(path.read_text()) for path in tmp_path.iterdir()]
    assert len(answers) == 2 * len(ROUNDS)
    for answer in answers:
        assert answer["metrics"] == pytest.approx(metrics, abs=1e-12, nan_ok=True)
        assert set(answer["per_class"]) == set(scene.classes)
        assert sorted(answer["records"], key=lambda record: record["image_id"]) == records
