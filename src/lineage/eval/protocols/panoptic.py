"""Panoptic segmentation: PQ of the merged map, mIoU of the stuff branch, AP of the instances.

Every image is counted when it comes and only its counts are kept: of a full validation set some hundred kB, besides the
segments themselves as RLE for the result file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lineage.eval.metrics import miou, pq
from lineage.eval.panoptic_merge import THING, Merged, Rules, classify, merge
from lineage.eval.predictions.collector import complete, records, restore
from lineage.eval.predictions.gather import gather, gather_rows
from lineage.eval.predictions.predictions import NOTHING, Detected, concatenate, unique
from lineage.eval.predictions.rle import encode_masks
from lineage.eval.protocols.coco import CocoEvaluator
from lineage.structures import Batch, Detections

if TYPE_CHECKING:
    from lineage.data.samples.dataset import GroundTruth
    from lineage.data.samples.metadata import DatasetMeta


class Things(NamedTuple):
    """The instances of a panoptic dataset, kept so that their masks are read from the PNGs only once."""

    truth: dict[str, Any]
    meta: DatasetMeta

    def ground_truth(self) -> dict[str, Any]:
        return self.truth


class PanopticError(ValueError):
    """Panoptic evaluation cannot be applied."""


class PanopticEvaluator:
    def __init__(
        self, *, dataset: GroundTruth, score: float = 0.5, overlap: float = 0.5, stuff_area: int = 4096
    ) -> None:
        instances = dataset.ground_truth()
        truth = instances.pop("panoptic", None)
        if truth is None:
            raise PanopticError("The ground truth is not panoptic: choose dataset=coco_panoptic, or another evaluator.")
        self.folder = Path(truth.get("folder", ""))
        self.rules = Rules(score, overlap, stuff_area)
        self.categories: list[dict[str, Any]] = sorted(truth["categories"], key=lambda one: one["id"])
        self.annotations = {one["image_id"]: one for one in truth["annotations"]}
        self.expected = np.array([*self.annotations], np.int64)
        self.numbers = np.array([one["id"] for one in self.categories], np.int64)
        self.category_ids = np.array(dataset.meta.category_ids, np.int64)
        self.stuff_ids = (THING, *dataset.meta.stuff_ids)
        self.instances = CocoEvaluator(dataset=Things(instances, dataset.meta), tasks=("box", "mask"))
        self._begin()
        self._found = NOTHING
        self._per_class: dict[str, dict[str, float]] = {}

    def _begin(self) -> None:
        self._parts: list[Detected] = []
        self._counts: list[pq.Counts] = []
        self._pixels: list[miou.Pixels] = []

    @property
    def protocol(self) -> dict[str, Any]:
        merged = {"score": self.rules.score, "overlap": self.rules.overlap, "stuff_area": self.rules.stuff}
        tasks = {"panoptic": {"match": pq.MATCH, "merge": merged}, "semantic": {"classes": list(self.stuff_ids)}}
        return {"name": "panoptic", "engine": "lineage", "tasks": tasks, "instances": self.instances.protocol}

    def update(self, detections: Detections, batch: Batch) -> None:
        if detections.masks is None or detections.semantic is None:
            raise PanopticError("Panoptic evaluation needs masks and a map of stuff: choose model=panoptic_fpn.")
        self.instances.update(detections, batch)
        for slot, image in enumerate(batch.ids.tolist()):
            found = restore(detections, batch, slot, ("mask",))
            height, width = batch.images.sizes[slot].round().long().tolist()
            size = tuple(batch.original_sizes[slot].tolist())
            semantic = classify(detections.semantic[slot], (height, width), size)
            rules = (self.stuff_ids, self.rules)
            merged = merge(found.masks(), found.scores, self.category_ids[found.labels], semantic, *rules)
            self._count(image, merged, semantic)

    def _count(self, image: int, merged: Merged, semantic: NDArray[np.int64]) -> None:
        note = self.annotations.get(image)
        if note is None:
            raise PanopticError(f"Detections for image {image}, which the ground truth does not list.")
        truth = self._ids(note)
        segments = [{"id": i + 1, "category_id": number} for i, number in enumerate(merged.category.tolist())]
        self._counts.append(pq.count(image, truth, merged.ids, note["segments_info"], segments))
        wanted = miou.classes(truth, note["segments_info"], self.stuff_ids)
        self._pixels.append(miou.count(image, wanted, semantic, len(self.stuff_ids)))
        self._parts.append(segments_of(image, merged, self.numbers))

    def _ids(self, note: Mapping[str, Any]) -> NDArray[np.int64]:
        """[h, w] the segments of an image."""
        if "ids" in note:
            return np.asarray(note["ids"], np.int64)
        return pq.read_ids(np.asarray(Image.open(self.folder / note["file_name"]).convert("RGB")))

    def compute(self) -> dict[str, float]:
        """Metrics over the images of all processes, the same on each; begins a new round."""
        metrics = self.instances.compute()
        found = gather(concatenate(self._parts))
        counts = pq.Counts(*gather_rows(pq.concatenate(self._counts)))
        pixels = miou.Pixels(*gather_rows(miou.concatenate(self._pixels, len(self.stuff_ids))))
        self._begin()
        complete(found.images, self.expected)
        self._found = unique(found)
        means, per_class = pq.summary(once(counts), self.categories)
        names = {one["id"]: one["name"] for one in self.categories}
        iou, of_class = miou.summary(pixels, [names.get(number, "things") for number in self.stuff_ids])
        self._per_class = joined(per_class, of_class, self.instances.per_class())
        return metrics | means | iou

    def per_class(self) -> dict[str, dict[str, float]]:
        return self._per_class

    def results(self) -> list[dict[str, Any]]:
        """The segments of the last round, one record each: things with their score, stuff with 1."""
        return records(self._found, self.numbers)


def segments_of(image: int, merged: Merged, numbers: NDArray[np.int64]) -> Detected:
    """The segments of a map as detections: `numbers` are the category ids that labels count."""
    count, size = len(merged.category), merged.ids.shape
    masks = encode_masks([merged.ids == number + 1 for number in range(count)])
    boxes = np.zeros((count, 4), np.float32)
    for place in range(count):
        y, x = np.nonzero(merged.ids == place + 1)
        boxes[place] = (x.min(), y.min(), x.max() + 1, y.max() + 1)
    texts = [mask["counts"] for mask in masks]
    return NOTHING._replace(
        images=np.array([image]),
        sizes=np.array([size], np.int64),
        rows=np.array([count]),
        boxes=boxes,
        scores=merged.scores,
        labels=np.searchsorted(numbers, merged.category),
        rle=np.frombuffer(b"".join(texts), np.uint8) if texts else np.zeros(0, np.uint8),
        rle_lengths=np.array([len(text) for text in texts], np.int64),
    )


def once(counts: pq.Counts) -> pq.Counts:
    """Each pair of image and class once: distributed samplers repeat a few images."""
    pairs = np.stack([counts.image, counts.category])
    first = np.unique(pairs, axis=1, return_index=True)[1]
    return pq.Counts(counts.image[first], counts.category[first], counts.numbers[first])


def joined(*tables: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    names: Sequence[str] = list(dict.fromkeys(name for table in tables for name in table))
    return {name: {key: v for table in tables for key, v in table.get(name, {}).items()} for name in names}
