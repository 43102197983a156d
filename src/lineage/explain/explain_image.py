"""Explain the detections of one image: from a batch of one image to maps in the pixels of its file."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from lineage.eval.predictions.coco_records import to_records
from lineage.eval.predictions.host_copy import sizes_of
from lineage.eval.predictions.image_coordinates import to_image_coordinates
from lineage.eval.predictions.rle import decode
from lineage.explain.d_rise import CELLS, explain_by_masks
from lineage.explain.detectors import RegionDetector, find_normalization
from lineage.explain.effects import EffectsOfDetection
from lineage.explain.explained_image import ExplainedDetection, ExplainedImage, FileMap
from lineage.explain.methods import D_RISE, Heatmap, explain
from lineage.explain.targets import PROPOSAL, DetectionOutput, parse_target
from lineage.models.roi_heads.postprocess import reorder
from lineage.report.draw import object_colour
from lineage.structures import Batch, Detections


class NoSuchDetection(ValueError):
    """Number beyond the detections of an image."""


class ClassNames(Protocol):
    """The part of a dataset's metadata that is read here."""

    @property
    def classes(self) -> tuple[str, ...]: ...  # [C]

    @property
    def category_ids(self) -> tuple[int, ...]: ...  # [C]


@dataclass(frozen=True, slots=True)
class Request:
    """Choice of detections, of their scalar, and of methods."""

    methods: Sequence[str]
    target: str
    numbers: Sequence[int]  # of detections by falling score, from 1; empty: the first `count`
    count: int
    score_thresh: float
    masks: int  # of D-RISE
    effects: Collection[str]  # of EFFECTS, which are measured too


class NamedImage(Protocol):
    """Name and pixels of an image."""

    @property
    def name(self) -> str: ...

    @property
    def pixels(self) -> NDArray[np.uint8]: ...  # [h, w, 3] RGB, of the file


def explain_image(
    detector: RegionDetector, batch: Batch, picture: NamedImage, meta: ClassNames, request: Request
) -> ExplainedImage:
    """Detect, and compute the maps of the chosen detections. Raises NoSuchDetection."""
    # 1. detect
    detections, regions = detector.detect(batch.images)
    slots = choose_slots(detections, request, picture.name)
    # 2. explain
    target = parse_target(request.target)
    outputs = {slot: DetectionOutput(detector, batch.images, regions[slot], target) for slot in slots}
    maps = [explain(outputs[slot], request.methods) for slot in slots]
    if D_RISE in request.methods and slots:
        by_masks = _explain_by_masks(detector, batch, detections, slots, request)
        for by_method, heatmap in zip(maps, by_masks, strict=True):
            by_method[D_RISE] = heatmap
    # 3. back to the pixels of the file
    tasks = ("box", "mask") if detections.masks is not None else ("box",)
    predictions = to_image_coordinates(detections, sizes_of(batch), tasks)
    records = to_records(predictions, meta.category_ids)
    explained = []
    for slot, by_method in zip(slots, maps, strict=True):
        record = records[slot]
        label = int(detections.labels[0, slot])
        x, y, width, height = record["bbox"]
        file_maps = {name: _to_file(by_method[name], batch) for name in request.methods}
        if request.effects:
            of_detection = EffectsOfDetection(detector, batch.images, detections, slot, outputs[slot])
            file_maps = {name: replace(file_map, effects=of_detection.measure(by_method[name], request.effects))
                         for name, file_map in file_maps.items()}  # fmt: skip
        explained.append(ExplainedDetection(
            number=slot + 1, class_name=meta.classes[label], score=float(record["score"]),
            box=(x, y, x + width, y + height), colour=object_colour(label), maps=file_maps,
            mask=decode(record["segmentation"]).astype(bool) if "segmentation" in record else None,
        ))  # fmt: skip
    rule = f"D-RISE: {request.masks} masks of {CELLS} x {CELLS} cells, IoU x cosine"
    variant = rule if D_RISE in request.methods else ""
    policy = detector.proposal_policy if request.target != PROPOSAL else "the anchor of the proposal is a constant"
    scores = detections.scores[0][detections.valid[0]]
    highest = float(scores.max()) if len(scores) else 0.0
    return ExplainedImage(picture.name, picture.pixels, explained, request.target, policy, variant, highest)


def choose_slots(detections: Detections, request: Request, name: str) -> list[int]:
    """Return the slots of the detections to explain. Raises NoSuchDetection."""
    scores = detections.scores[0][detections.valid[0]]
    count = int((scores >= request.score_thresh).sum())
    if not request.numbers:
        return list(range(min(count, request.count)))
    if wrong := [number for number in request.numbers if number > count]:
        raise NoSuchDetection(
            f"{name}: --detection {wrong[0]}, but {count} detections have a score of {request.score_thresh:g} or more; "
            f"choose 1 to {count}, or a lower --score" if count else
            f"{name}: --detection {wrong[0]}, but no detection has a score of {request.score_thresh:g} or more; choose "
            "a lower --score"
        )  # fmt: skip
    return [number - 1 for number in request.numbers]


def _explain_by_masks(
    detector: RegionDetector, batch: Batch, detections: Detections, slots: Sequence[int], request: Request
) -> list[Heatmap]:
    """Return the maps of D-RISE of all slots, from one set of masks; its seconds are shared among them."""
    start = time.perf_counter()
    chosen = reorder(detections, torch.tensor([list(slots)]))
    baseline = find_normalization(detector.model).mean.expand_as(batch.images.pixels)
    maps = explain_by_masks(detector.detect_boxes, batch.images, chosen, baseline, masks=request.masks)
    seconds = (time.perf_counter() - start) / len(slots)
    return [Heatmap(values, values, "detections of masked images", seconds) for values in maps]


def _to_file(heatmap: Heatmap, batch: Batch) -> FileMap:
    """Cut the content out of the canvas and resize it to the file."""
    height, width = batch.images.sizes[0].round().long().tolist()
    tall, wide = batch.original_sizes[0].tolist()
    content = heatmap.values.detach()[:height, :width]
    resized: Tensor = F.interpolate(content[None, None], (tall, wide), mode="bilinear", align_corners=False)[0, 0]
    return FileMap(resized.float().cpu().numpy(), heatmap.layer, heatmap.seconds)
