"""COCO's evaluation of boxes, masks and keypoints (arXiv:1405.0312, section 5; cocodataset.org/#detection-eval).

Detections go back to the pixels of their file as they come and are kept as flat columns with compressed masks, so a
full validation set is some 50 MB. Each task is scored by its own geometry: the area of a mask is its pixel count, not
that of its box, and the area of a set of keypoints is their extent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import hotcoco
import numpy as np
from numpy.typing import NDArray

from lineage.eval.detected import NOTHING, Detected, concatenate, unique
from lineage.eval.gather import any_rank, gather, on_first_rank
from lineage.eval.paste import paste
from lineage.eval.score import TASKS, Scores, join, protocol, score
from lineage.structures import Batch, Detections

if TYPE_CHECKING:
    from lineage.data.dataset import Dataset

PERSON_POINTS = 17  # COCO publishes its tolerances (sigmas) for these; the engine knows them
SIGMA = 0.05  # deviates: keypoints COCO knows nothing about all get one tolerance, unless the config names some


class CocoEvaluator:
    """Scores the tasks that the model, the ground truth and `tasks` have in common."""

    def __init__(
        self, *, dataset: Dataset, tasks: Sequence[str] = tuple(TASKS), sigmas: Sequence[float] | None = None
    ) -> None:
        truth = dataset.ground_truth()
        annotated = _annotated(truth)
        self.tasks = tuple(task for task in TASKS if task in tasks and task in annotated)
        if not self.tasks:
            raise ValueError(f"Nothing to evaluate: asked for {list(tasks)}, the ground truth has {annotated}.")
        points = _keypoints(truth)
        self.sigmas = list(sigmas or [SIGMA] * points) if sigmas or points != PERSON_POINTS else None
        self.expected = np.array([image["id"] for image in truth["images"]], np.int64)
        self.category_ids = np.array(dataset.category_ids, np.int64)
        self.truth = hotcoco.COCO(truth)
        self._parts: list[Detected] = []
        self._produced: set[str] = set()
        self._found = NOTHING
        self._scores = Scores({}, {})

    @property
    def protocol(self) -> dict[str, Any]:
        tasks: dict[str, dict[str, Any]] = {task: protocol(task) for task in self.tasks}
        if "mask" in tasks:
            tasks["mask"]["paste"] = "bilinear at pixel centres, from 0.5"
        if "keypoint" in tasks:
            tasks["keypoint"]["sigmas"] = self.sigmas or "coco"
        return {"name": "coco", "engine": f"hotcoco {hotcoco.__version__}", "tasks": tasks}

    def update(self, detections: Detections, batch: Batch) -> None:
        given = {"box": True, "mask": detections.masks is not None, "keypoint": detections.keypoints is not None}
        self._produced |= {task for task in self.tasks if given[task]}
        self._parts += [restore(detections, batch, slot, self._produced) for slot in range(len(batch.ids))]

    def compute(self) -> dict[str, float]:
        """Metrics over the images of all processes, the same on each; begins a new round."""
        flags = any_rank([task in self._produced for task in TASKS])
        found = unique(gather(concatenate(self._parts)))
        self._parts, self._produced = [], set()
        self._check_complete(found)
        tasks = [task for task, flag in zip(TASKS, flags, strict=True) if flag]
        self._found = found
        self._scores = on_first_rank(lambda: join(self._score(found, task) for task in tasks))
        return self._scores.metrics

    def per_class(self) -> dict[str, dict[str, float]]:
        return self._scores.per_class

    def results(self, task: str | None = None) -> list[dict[str, Any]]:
        """COCO result records of the last round. With a task they hold its geometry only, as COCO's server expects."""
        found = self._found
        columns: dict[str, list[Any]] = {
            "image_id": found.image_of_row().tolist(),
            "category_id": self.category_ids[found.labels].tolist(),
            "score": found.scores.tolist(),
        }
        if task in ("box", None):
            columns["bbox"] = _xywh(found).tolist()
        if task in ("mask", None) and len(found.rle_lengths):
            columns["segmentation"] = found.masks()
        if task in ("keypoint", None) and found.keypoints.size:
            columns["keypoints"] = found.keypoints.reshape(len(found.scores), -1).tolist()
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def _check_complete(self, found: Detected) -> None:
        missing = np.setdiff1d(self.expected, found.images)
        if len(missing):
            some = ", ".join(map(str, missing[:8])) + (", ..." if len(missing) > 8 else "")
            raise ValueError(
                f"{len(missing)} of {len(self.expected)} images were never evaluated: {some}. Metrics over a part of "
                "a dataset compare with nothing; evaluate all of it, or make the part a dataset of its own."
            )
        foreign = np.setdiff1d(found.images, self.expected)
        if len(foreign):
            raise ValueError(f"Detections for images that the ground truth does not list: {foreign[:8].tolist()}.")

    def _score(self, found: Detected, task: str) -> Scores:
        if task == "keypoint":
            return score(self.truth, self.truth.load_res(self.results(task)), task, self.sigmas)
        columns = (found.image_of_row(), *_xywh(found).T, found.scores, self.category_ids[found.labels])
        rows = np.stack(columns, axis=1).astype(np.float64)
        if task == "box":
            return score(self.truth, self.truth.load_res(rows), task)
        masks = found.masks()
        loaded = self.truth.load_res(rows, segmentation=[*masks])
        if masks:
            loaded.update_anns(ids=np.arange(1, len(masks) + 1), area=hotcoco.mask.area(masks).astype(np.float64))
        return score(self.truth, loaded, task)


def restore(detections: Detections, batch: Batch, slot: int, tasks: set[str]) -> Detected:
    """The valid detections of one image of a batch, in the pixels of its file."""
    keep = detections.valid[slot]
    height, width = batch.originals[slot].tolist()
    scale_y, scale_x = (batch.originals[slot].double().cpu() / batch.images.sizes[slot].double().cpu()).tolist()
    boxes = detections.boxes[slot][keep].double().cpu().numpy() * [scale_x, scale_y, scale_x, scale_y]
    boxes = np.clip(boxes, 0, [width, height, width, height]).astype(np.float32)
    found = NOTHING._replace(
        images=np.array([int(batch.ids[slot])]),
        sizes=np.array([[height, width]], dtype=np.int64),
        rows=np.array([len(boxes)]),
        boxes=boxes,
        scores=detections.scores[slot][keep].float().cpu().numpy(),
        labels=detections.labels[slot][keep].cpu().numpy(),
    )
    if "mask" in tasks and detections.masks is not None:
        rles = paste(detections.masks[slot][keep].float().cpu().numpy(), boxes, (height, width))
        found = found._replace(rle=rles.text, rle_lengths=rles.lengths)
    if "keypoint" in tasks and detections.keypoints is not None:
        points = detections.keypoints[slot][keep].double().cpu().numpy() * [scale_x, scale_y, 1]
        found = found._replace(keypoints=(points - [0.5, 0.5, 0]).astype(np.float32))  # centres -> COCO's indices
    return found


def _annotated(truth: dict[str, Any]) -> list[str]:
    """The tasks the ground truth can score."""
    if not truth["annotations"]:
        raise ValueError("The ground truth has no annotations, so no detection can be right; check the dataset's file.")
    fields = {"box": "bbox", "mask": "segmentation", "keypoint": "keypoints"}
    return [task for task, field in fields.items() if any(note.get(field) for note in truth["annotations"])]


def _keypoints(truth: dict[str, Any]) -> int:
    """How many keypoints an object has; 0 without keypoints."""
    return next((len(note["keypoints"]) // 3 for note in truth["annotations"] if note.get("keypoints")), 0)


def _xywh(found: Detected) -> NDArray[np.float64]:
    boxes = found.boxes.astype(np.float64)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
