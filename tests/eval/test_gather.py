"""Two processes with uneven shares, repeated images and one empty share score as one process does."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing

from lineage.eval.evaluator import DetectionEvaluator
from lineage.eval.protocols.cityscapes import CityscapesScorer
from lineage.eval.protocols.coco import CocoScorer
from lineage.eval.protocols.lvis import LvisScorer
from lineage.eval.protocols.panoptic import PanopticEvaluator
from lineage.eval.protocols.voc import VocScorer
from lineage.structures import Batch, Detections
from tests.eval.scenes import World, batch, guesses, share, world
from tests.eval.test_lvis import federate
from tests.eval.test_panoptic import Scene, perfect

# The images of each process, per round: a sampler that pads with repeats, and a process without images.
ROUNDS = [[[0, 1, 2, 3, 4], [5, 6, 0, 1]], [[], [0, 1, 2, 3, 4, 5, 6]]]


def scene_and_detections() -> tuple[World, Detections]:
    scene = world(np.random.default_rng(3), images=7)
    found = guesses(np.random.default_rng(4), scene)
    extra = {"overlap": found.scores * 2, "pose": found.boxes.sin()}  # outputs of a new head
    return scene, found._replace(keypoints=torch.rand(*found.scores.shape, 17, 3), extra=extra)


def process(rank: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    scene, found = scene_and_detections()
    evaluator = DetectionEvaluator(CocoScorer(dataset=scene))
    for number, shares in enumerate(ROUNDS):
        if shares[rank]:
            evaluator.update(*share(shares[rank], found, batch(scene)))
        answer = {"metrics": evaluator.compute(), "per_class": evaluator.per_class(), "records": evaluator.results()}
        Path(folder, f"{number}-{rank}.json").write_text(json.dumps(answer))
    dist.destroy_process_group()


def other_evaluators(folder: Path) -> list[tuple[Any, Detections, Batch]]:
    """LVIS, VOC, Cityscapes and panoptic, each with its detections."""
    folder.mkdir()
    scene, found = scene_and_detections()
    federated = World(**(scene._asdict() | {"truth": json.loads(json.dumps(scene.truth))}))
    federate(federated.truth, np.random.default_rng(0))
    made: list[tuple[Any, Detections, Batch]] = [
        (DetectionEvaluator(LvisScorer(dataset=federated, extras=["fixed"])), found, batch(scene)),
        (DetectionEvaluator(VocScorer(dataset=scene)), found, batch(scene)),
        (DetectionEvaluator(CityscapesScorer(dataset=scene)), found, batch(scene)),
    ]
    return [*made, (PanopticEvaluator(dataset=Scene(folder), stuff_area_limit=64), *perfect())]


def other_process(rank: int, port: int, folder: str) -> None:
    """Images in turn, and the first one again on the last rank, as a sampler that pads does."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    answers = []
    for evaluator, found, whole in other_evaluators(Path(folder, f"images {rank}")):
        mine = [*range(rank, len(whole.ids), 2)] + [0] * rank
        evaluator.update(*share(mine, found, whole))
        answers.append([evaluator.compute(), len(evaluator.results())])
    Path(folder, f"{rank}.json").write_text(json.dumps(answers))
    dist.destroy_process_group()


def test_every_evaluator_scores_in_two_processes_as_in_one(tmp_path: Path) -> None:
    expected = []
    for evaluator, found, whole in other_evaluators(tmp_path / "images"):
        evaluator.update(found, whole)
        expected.append((evaluator.compute(), len(evaluator.results())))
    torch.multiprocessing.spawn(other_process, args=(free_port(), str(tmp_path)), nprocs=2)
    for rank in range(2):
        answers = json.loads((tmp_path / f"{rank}.json").read_text())
        for (metrics, records), (told, count) in zip(expected, answers, strict=True):
            assert told == pytest.approx(metrics, abs=1e-9, nan_ok=True)
            assert count == records


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def test_two_processes_score_as_one(tmp_path: Path) -> None:
    scene, found = scene_and_detections()
    alone = DetectionEvaluator(CocoScorer(dataset=scene))
    alone.update(found, batch(scene))
    metrics = alone.compute()
    records = sorted(alone.results(), key=lambda record: record["image_id"])
    torch.multiprocessing.spawn(process, args=(free_port(), str(tmp_path)), nprocs=2)
    answers = [json.loads(path.read_text()) for path in tmp_path.iterdir()]
    assert len(answers) == 2 * len(ROUNDS)
    for answer in answers:
        assert answer["metrics"] == pytest.approx(metrics, abs=1e-12, nan_ok=True)
        assert set(answer["per_class"]) == set(scene.meta.classes)
        assert sorted(answer["records"], key=lambda record: record["image_id"]) == records
