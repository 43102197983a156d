"""Panoptic segmentation: PQ of the merged map, mIoU of the stuff branch, AP of the instances.

Every image is counted when it comes and only its counts are kept: of a full validation set some hundred kB, besides the
segments themselves as RLE for the result file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lineage.eval.document import CocoDocument
from lineage.eval.evaluator import DetectionEvaluator
from lineage.eval.metrics import miou, pq
from lineage.eval.panoptic_merge import THING, MergedMap, MergeRules, classify, merge
from lineage.eval.predictions.accumulator import check_complete
from lineage.eval.predictions.coco_records import to_records
from lineage.eval.predictions.gather import gather, gather_rows
from lineage.eval.predictions.host_copy import sizes_of
from lineage.eval.predictions.image_coordinates import to_image_coordinates
from lineage.eval.predictions.predictions import NO_PREDICTIONS, Predictions, concatenate, sort_images, split_images
from lineage.eval.predictions.rle import encode_masks
from lineage.eval.protocols.coco import CocoScorer
from lineage.eval.scores import Scores, class_names, join
from lineage.structures import Batch, Detections

if TYPE_CHECKING:
    from lineage.data.samples.dataset import GroundTruth

TASKS = ("box", "mask")  # that instances are scored by
THINGS = "things"  # name of the semantic class of all things in per-class metrics


class PanopticError(ValueError):
    """Panoptic evaluation cannot be applied."""


class PanopticScorer:
    """Scorer of panoptic maps: PQ, SQ and RQ of things, stuff and both."""

    def __init__(self, document: Mapping[str, Any], folder: Path | None = None) -> None:
        """`folder` holds the PNGs of a document that does not name its own."""
        self.folder = Path(document["folder"]) if "folder" in document else folder or Path()
        self.names = class_names(document["categories"])
        categories = sorted(document["categories"], key=lambda category: category["id"])
        self.categories = [{**category, "name": self.names[category["id"]]} for category in categories]
        self.annotations = {annotation["image_id"]: annotation for annotation in document["annotations"]}
        self.images = [*self.annotations] or [image["id"] for image in document["images"]]  # without annotations: all

    def ids(self, image: int) -> NDArray[np.int64]:
        """Return [h, w] the segment id of each pixel of an image in the ground truth."""
        annotation = self.annotations[image]
        if "ids" in annotation:
            return np.asarray(annotation["ids"], np.int64)
        return pq.read_png(self.folder / annotation["file_name"])

    def count(self, image: int, truth: NDArray[np.int64], ids: NDArray[np.int64], segments: Any) -> pq.Counts:
        """Count the matches of an image from both maps of segment ids [h, w] and the predicted segments."""
        return pq.count(image, truth, ids, self.annotations[image]["segments_info"], segments)

    def score(self, counts: Sequence[pq.Counts]) -> Scores:
        return pq.summarize(pq.concatenate(counts), self.categories)


class PanopticEvaluator:
    """Evaluator that merges instances and stuff into one map; thresholds are those of `MergeRules`."""

    name = "panoptic"

    def __init__(
        self,
        *,
        dataset: GroundTruth,
        instance_score_thresh: float = 0.5,
        overlap_thresh: float = 0.5,
        stuff_area_limit: int = 4096,
    ) -> None:
        document = dataset.ground_truth()
        if "panoptic" not in document:
            raise PanopticError("The ground truth is not panoptic: choose dataset=coco_panoptic, or another evaluator.")
        self.scorer = PanopticScorer(document["panoptic"])
        self.rules = MergeRules(instance_score_thresh, overlap_thresh, stuff_area_limit)
        self.segment_ids = np.array(sorted(self.scorer.names), np.int64)  # category ids of things and stuff
        self.category_ids = np.array(dataset.meta.category_ids, np.int64)
        self.stuff_ids = (THING, *dataset.meta.stuff_ids)
        things = [{**thing, "name": self.scorer.names.get(thing["id"], thing["name"])}
                  for thing in document["categories"]]  # fmt: skip
        instances = {key: value for key, value in document.items() if key != "panoptic"} | {"categories": things}
        instance_scorer = CocoScorer(dataset=CocoDocument(instances, dataset.meta), tasks=TASKS)
        self.instances = DetectionEvaluator(instance_scorer)
        self.scores, self.predictions = Scores({}, {}), NO_PREDICTIONS
        self._clear()

    def _clear(self) -> None:
        self._segments: list[Predictions] = []
        self._counts: list[pq.Counts] = []
        self._pixels: list[miou.PixelCounts] = []

    @property
    def protocol(self) -> dict[str, Any]:
        rules = self.rules
        merged = {"score": rules.score_thresh, "overlap": rules.overlap_thresh, "stuff_area": rules.stuff_area_limit}
        tasks = {"panoptic": {"match": pq.MATCH_IOU, "merge": merged}, "semantic": {"classes": list(self.stuff_ids)}}
        return {"name": self.name, "engine": "lineage", "tasks": tasks, "instances": self.instances.protocol}

    def check_outputs(self, detections: Detections) -> None:
        """Raise PanopticError if a model predicts no masks, or no stuff."""
        if detections.masks is None or detections.semantic is None:
            raise PanopticError(
                "Panoptic evaluation needs masks and a map of stuff, which this model does not predict: choose "
                "model=panoptic_fpn, or score its boxes and masks alone with evaluator=coco."
            )

    def update(self, detections: Detections, batch: Batch) -> None:
        self.check_outputs(detections)
        assert detections.semantic is not None
        predictions = to_image_coordinates(detections, sizes_of(batch), TASKS)
        self.instances.add(predictions, TASKS)
        for slot, (image, instances) in enumerate(zip(batch.ids.tolist(), split_images(predictions), strict=True)):
            height, width = batch.images.sizes[slot].round().long().tolist()
            size = tuple(batch.original_sizes[slot].tolist())
            semantic = classify(detections.semantic[slot], (height, width), size)
            categories = self.category_ids[instances.labels]
            merged = merge(instances.masks(), instances.scores, categories, semantic, self.stuff_ids, self.rules)
            self._count(image, merged, semantic)

    def _count(self, image: int, merged: MergedMap, semantic: NDArray[np.int64]) -> None:
        self._segments.append(segments_of(image, merged, self.segment_ids))
        if not self.scorer.annotations:  # nothing to compare with: the segments are the result
            return
        if image not in self.scorer.annotations:
            raise PanopticError(f"Detections for image {image}, which the ground truth does not list.")
        truth = self.scorer.ids(image)
        segments = [{"id": i, "category_id": number} for i, number in enumerate(merged.category.tolist(), 1)]
        self._counts.append(self.scorer.count(image, truth, merged.ids, segments))
        classes = miou.semantic_map(truth, self.scorer.annotations[image]["segments_info"], self.stuff_ids)
        self._pixels.append(miou.count(image, classes, semantic, len(self.stuff_ids)))

    def compute(self) -> dict[str, float]:
        """Score the images of all processes; every process gets the same metrics."""
        instances = Scores(self.instances.compute(), self.instances.per_class())
        segments = gather(concatenate(self._segments))
        counts = pq.Counts(*gather_rows(pq.concatenate(self._counts)))
        pixels = miou.PixelCounts(*gather_rows(miou.concatenate(self._pixels, len(self.stuff_ids))))
        self._clear()
        check_complete(segments.images, np.array(self.scorer.images, np.int64))
        self.predictions = sort_images(segments)
        names = [self.scorer.names.get(number, THINGS) for number in self.stuff_ids]
        self.scores = join([instances, self.scorer.score([count_once(counts)]), miou.summarize(pixels, names)])
        return self.scores.metrics

    def per_class(self) -> dict[str, dict[str, float]]:
        return self.scores.per_class

    def results(self) -> list[dict[str, Any]]:
        """Return the segments as COCO records, one each: things with their score, stuff with 1."""
        return to_records(self.predictions, self.segment_ids)


def segments_of(image: int, merged: MergedMap, category_ids: NDArray[np.int64]) -> Predictions:
    """Return the segments of a map as detections; `category_ids` [C] is the id of each label."""
    count, size = len(merged.category), merged.ids.shape
    masks = encode_masks([merged.ids == number + 1 for number in range(count)])
    boxes = np.zeros((count, 4))
    for index in range(count):
        y, x = np.nonzero(merged.ids == index + 1)
        boxes[index] = (x.min(), y.min(), x.max() + 1 - x.min(), y.max() + 1 - y.min())
    texts = [mask["counts"] for mask in masks]
    return NO_PREDICTIONS._replace(
        images=np.array([image]),
        sizes=np.array([size], np.int64),
        image_index=np.zeros(count, np.int64),
        boxes=boxes,
        scores=merged.scores.astype(np.float64),
        labels=np.searchsorted(category_ids, merged.category),
        rle=np.frombuffer(b"".join(texts), np.uint8) if texts else np.zeros(0, np.uint8),
        rle_lengths=np.array([len(text) for text in texts], np.int64),
    )


def count_once(counts: pq.Counts) -> pq.Counts:
    """Keep each pair of image and class once, since distributed samplers repeat images."""
    pairs = np.stack([counts.image, counts.category])
    first = np.unique(pairs, axis=1, return_index=True)[1]
    return pq.Counts(counts.image[first], counts.category[first], counts.numbers[first])
