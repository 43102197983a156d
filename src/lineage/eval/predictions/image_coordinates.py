"""From the canvas of a batch to the pixels of the image files."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lineage.eval.predictions.host_copy import ImageSizes
from lineage.eval.predictions.paste import paste
from lineage.eval.predictions.paste_cuda import paste_cuda
from lineage.eval.predictions.predictions import NO_PREDICTIONS, Ints, Predictions
from lineage.eval.predictions.rle import Rles
from lineage.eval.tasks import FIELDS
from lineage.structures import Detections


def to_image_coordinates(detections: Detections, sizes: ImageSizes, tasks: Iterable[str]) -> Predictions:
    """Return the valid detections of a batch, with the geometry that `tasks` score."""
    fields = {FIELDS[task] for task in tasks}
    valid = detections.valid.cpu()
    image_index = valid.nonzero()[:, 0].numpy()
    files = sizes.files.cpu().numpy()
    scale = files / sizes.canvas.cpu().double().numpy()

    def select(field: Tensor) -> NDArray[np.float64]:
        return field.cpu()[valid].double().numpy()

    # 1. Boxes, to the borders of their files.
    xyxy = [1, 0, 1, 0]  # of (height, width)
    boxes = select(detections.boxes) * scale[:, xyxy][image_index]
    boxes = np.clip(boxes, 0, files[:, xyxy][image_index]).astype(np.float32)
    corner, opposite = boxes[:, :2].astype(np.float64), boxes[:, 2:].astype(np.float64)
    predictions = NO_PREDICTIONS._replace(
        images=sizes.ids.cpu().numpy(),
        sizes=files,
        image_index=image_index,
        boxes=np.concatenate([corner, opposite - corner], axis=1),
        scores=select(detections.scores.float()),
        labels=detections.labels.cpu()[valid].numpy(),
        extra={name: select(value) for name, value in (detections.extra or {}).items()},
    )
    # 2. Masks.
    if "segmentation" in fields and detections.masks is not None:
        masks = detections.masks[valid.to(detections.masks.device)]
        rles = _paste(masks, boxes, files[image_index])
        predictions = predictions._replace(rle=rles.text, rle_lengths=rles.lengths)
    # 3. Keypoints, from pixel centres to COCO's indices.
    if "keypoints" in fields and detections.keypoints is not None:
        factors = np.column_stack([scale[:, 1], scale[:, 0], np.ones(len(scale))])[image_index, None]
        points = select(detections.keypoints) * factors - [0.5, 0.5, 0]
        predictions = predictions._replace(keypoints=points.astype(np.float32).astype(np.float64))
    return predictions


def _paste(masks: Tensor, boxes: NDArray[np.float32], sizes: Ints) -> Rles:
    """Return the RLE of masks [n, M, M], computed where they are."""
    if not masks.is_cuda:
        return paste(masks.float().cpu().numpy(), boxes, sizes)
    return paste_cuda(masks, torch.from_numpy(boxes).to(masks.device), torch.from_numpy(sizes).to(masks.device))
