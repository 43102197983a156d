"""A drawn scene as a sample for training, and its layout as COCO annotations for scoring."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools import mask as rle
from torchvision import tv_tensors as tv

from lineage.data.samples.mask_crops import MaskCrops
from lineage.data.samples.sample import Sample
from lineage.data.shapes.drawn_files import DrawnSample
from lineage.data.shapes.scene import Layout, Scene, read_labels, tight_boxes


def to_drawn_sample(scene: Scene, labels: NDArray[np.int64]) -> DrawnSample:
    """Return the arrays of a scene that are stored; `labels` are those of the dataset."""
    masks = MaskCrops.from_masks(torch.from_numpy(scene.masks))
    return DrawnSample(
        image=np.ascontiguousarray(scene.image.transpose(2, 0, 1)),
        boxes=scene.boxes,
        labels=labels,
        crowd=scene.crowd,
        bits=masks.as_subclass(torch.Tensor).numpy(),
        windows=masks.windows.numpy(),
        keypoints=scene.keypoints,
        semantic=scene.semantic,
    )


def to_sample(drawn: DrawnSample, image_id: int, size: tuple[int, int]) -> Sample:
    points = torch.from_numpy(drawn.keypoints)
    return Sample(
        image=tv.Image(torch.from_numpy(drawn.image)),
        boxes=tv.BoundingBoxes(torch.from_numpy(drawn.boxes), format="XYXY", canvas_size=size),
        labels=torch.from_numpy(drawn.labels),
        crowd=torch.from_numpy(drawn.crowd),
        masks=MaskCrops(torch.from_numpy(drawn.bits), torch.from_numpy(drawn.windows), size),
        keypoints=tv.KeyPoints(points[..., :2].contiguous(), canvas_size=size),
        visibility=points[..., 2].long(),
        image_id=image_id,
        original_size=size,
        semantic=None if drawn.semantic is None else tv.Mask(torch.from_numpy(drawn.semantic)),
    )


def annotate_layout(layout: Layout, image_id: int) -> list[dict[str, Any]]:
    """Return COCO annotations without ids; the category id of class 0 is 1."""
    boxes = tight_boxes(layout.masks).tolist()
    labels, crowd = read_labels(layout)
    encoded = rle.encode(np.asfortranarray(layout.masks.transpose(1, 2, 0).astype(np.uint8)))
    return [
        {
            "image_id": image_id,
            "category_id": int(label) + 1,
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": int(mask.sum()),
            "iscrowd": int(many),
            "segmentation": {"size": code["size"], "counts": code["counts"].decode()},
            "keypoints": np.floor(points).astype(int).ravel().tolist(),
            "num_keypoints": int((points[:, 2] > 0).sum()),
        }
        for label, many, (x1, y1, x2, y2), mask, code, points in zip(
            labels, crowd, boxes, layout.masks, encoded, layout.keypoints, strict=True)
    ]  # fmt: skip


def make_coco_document(
    sizes: Sequence[tuple[int, int]], annotations: Sequence[dict[str, Any]], categories: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Return the COCO dict of images of these (height, width); their ids and those of the annotations start at 1."""
    images = [
        {"id": i + 1, "file_name": f"{i + 1:012d}.png", "height": height, "width": width}
        for i, (height, width) in enumerate(sizes)
    ]
    numbered = [{"id": i + 1, **annotation} for i, annotation in enumerate(annotations)]
    return {"images": images, "annotations": numbered, "categories": list(categories)}
