"""Evaluation of a validation set of COCO's size: detection, pasted and encoded masks, box and mask AP, in seconds.

The network detects in random pixels; its boxes, labels and masks are then exchanged for those of a random scene, as
benchmarks/evaluation.py makes it: half of them near objects, masks that are bent discs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from benchmarks.evaluation import CLASSES, HEIGHT, OBJECTS, SLOTS, WIDTH, batches, world
from benchmarks.gpu.scene import BORDER, CANVAS, DEVICE, scene, to_device
from torch import Tensor

from lineage.eval.evaluator import DetectionEvaluator
from lineage.eval.protocols.coco import CocoScorer
from lineage.structures import Batch, Detections

FIELDS = ("boxes", "scores", "labels", "masks")


def stack(images: int, batch: int) -> tuple[Any, list[dict[str, Tensor]], list[Tensor]]:
    """Return a scene, what is detected in it and image ids, batch by batch, on the device."""
    truth = world(images, CLASSES, OBJECTS)
    scale = torch.tensor([(CANVAS[1] - BORDER) / WIDTH, CANVAS[0] / HEIGHT] * 2)
    detections, ids = [], []
    singles = list(batches(truth, SLOTS, masks=True))
    for start in range(0, images, batch):
        part = singles[start : start + batch]
        fields = {name: torch.cat([getattr(found, name) for found, _ in part]) for name in FIELDS}
        detections.append(to_device(fields | {"boxes": fields["boxes"] * scale}))
        ids.append(to_device(torch.cat([of_image.ids for _, of_image in part])))
    return truth, detections, ids


def evaluate(run: Callable[[], Detections], images: int, batch: int) -> tuple[float, float, float]:
    """Return seconds until the last mask is encoded, seconds in all, and mask AP of a validation set."""
    truth, detections, ids = stack(images, batch)
    inputs, _ = scene(batch)
    sizes = torch.tensor([[HEIGHT, WIDTH]] * batch, device=DEVICE)
    evaluator = DetectionEvaluator(CocoScorer(dataset=truth, tasks=["box", "mask"]))
    torch.cuda.synchronize()
    started = time.perf_counter()
    for fields, numbers in zip(detections, ids, strict=True):
        of_scene = run()._replace(**fields, valid=torch.ones_like(fields["labels"], dtype=torch.bool))
        evaluator.update(of_scene, Batch(inputs, None, numbers, sizes))  # type: ignore[arg-type]
    detected = time.perf_counter()
    metrics = evaluator.compute()
    return detected - started, time.perf_counter() - started, metrics["mask/AP"]
