"""From the canvas of a batch to the pixels of the image file."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from lineage.eval.predictions.host_copy import ImageSizes
from lineage.eval.predictions.paste import paste
from lineage.eval.predictions.predictions import NO_PREDICTIONS, Predictions
from lineage.eval.tasks import FIELDS
from lineage.structures import Detections


def to_image_coordinates(detections: Detections, sizes: ImageSizes, slot: int, tasks: Iterable[str]) -> Predictions:
    """Return the valid detections of image `slot` of a batch, with the geometry that `tasks` score."""
    fields = {FIELDS[task] for task in tasks}
    valid = detections.valid[slot]
    height, width = sizes.files[slot].tolist()
    scale_y, scale_x = (sizes.files[slot].double().cpu() / sizes.canvas[slot].double().cpu()).tolist()
    boxes = detections.boxes[slot][valid].double().cpu().numpy() * [scale_x, scale_y, scale_x, scale_y]
    boxes = np.clip(boxes, 0, [width, height, width, height]).astype(np.float32)
    corner, opposite = boxes[:, :2].astype(np.float64), boxes[:, 2:].astype(np.float64)
    predictions = NO_PREDICTIONS._replace(
        images=np.array([int(sizes.ids[slot])]),
        sizes=np.array([[height, width]], np.int64),
        image_index=np.zeros(len(boxes), np.int64),
        boxes=np.concatenate([corner, opposite - corner], axis=1),
        scores=detections.scores[slot][valid].float().double().cpu().numpy(),
        labels=detections.labels[slot][valid].cpu().numpy(),
        extra={name: value[slot][valid].double().cpu().numpy() for name, value in (detections.extra or {}).items()},
    )
    if "segmentation" in fields and detections.masks is not None:
        rles = paste(detections.masks[slot][valid].float().cpu().numpy(), boxes, (height, width))
        predictions = predictions._replace(rle=rles.text, rle_lengths=rles.lengths)
    if "keypoints" in fields and detections.keypoints is not None:
        points = detections.keypoints[slot][valid].double().cpu().numpy() * [scale_x, scale_y, 1]
        points -= [0.5, 0.5, 0]  # from pixel centres to COCO's indices
        predictions = predictions._replace(keypoints=points.astype(np.float32).astype(np.float64))
    return predictions
