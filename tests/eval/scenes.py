"""Small random worlds to score: a ground truth in COCO's format and detections that are sometimes right."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pycocotools.mask
import torch
from torch import Tensor

from lineage.data.samples.metadata import DatasetMeta
from lineage.data.samples.sample import Sample
from lineage.structures import Batch, Detections, Images, Targets


class World(NamedTuple):
    """A dataset that is only a ground truth: enough for an evaluator."""

    truth: dict[str, Any]
    meta: DatasetMeta
    sizes: Tensor
    fingerprint: str = "world"

    def __getitem__(self, index: int) -> Sample:  # type: ignore[override]  # the Protocol's, not the tuple's
        raise NotImplementedError

    def ground_truth(self) -> dict[str, Any]:
        return self.truth


def world(rng: np.random.Generator, images: int = 6, classes: int = 4, objects: int = 6) -> World:
    """Images of various sizes, some without objects; the last class has none; a tenth of the objects is crowd."""
    category_ids = tuple(int(number) for number in rng.permutation(20)[:classes] + 1)
    sizes = rng.integers(24, 200, (images, 2))
    ids = rng.permutation(1000)[:images]
    annotations: list[dict[str, Any]] = []
    for image, (height, width) in zip(ids.tolist(), sizes.tolist(), strict=True):
        for box in random_boxes(rng, int(rng.integers(0, objects + 1)), height, width):
            rle = blob_rle(rng, box, height, width)
            x1, y1, x2, y2 = box.tolist()
            annotations.append({
                "id": len(annotations) + 1, "image_id": image, "category_id": int(rng.choice(category_ids[:-1])),
                "bbox": [x1, y1, x2 - x1, y2 - y1], "area": float(pycocotools.mask.area(rle)),
                "iscrowd": int(rng.random() < 0.1), "segmentation": rle,
            })  # fmt: skip
    truth = {
        "images": [{"id": i, "height": h, "width": w} for i, (h, w) in zip(ids.tolist(), sizes.tolist(), strict=True)],
        "annotations": annotations,
        "categories": [{"id": number, "name": f"class {number}"} for number in sorted(category_ids)],
    }
    meta = DatasetMeta(tuple(f"class {number}" for number in category_ids), category_ids)
    return World(truth, meta, torch.tensor(sizes))


def random_boxes(rng: np.random.Generator, count: int, height: int, width: int) -> np.ndarray:
    corners = rng.random((count, 2, 2)) * [width, height]
    low, high = corners.min(1), corners.max(1)
    return np.concatenate([low, np.maximum(high, low + 1)], axis=1)


def blob_rle(rng: np.random.Generator, box: np.ndarray, height: int, width: int) -> dict[str, Any]:
    """An ellipse in a box, with a bite taken out."""
    x1, y1, x2, y2 = box
    y, x = np.mgrid[:height, :width] + 0.5
    u, v = (x - x1) / (x2 - x1) * 2 - 1, (y - y1) / (y2 - y1) * 2 - 1
    bite = rng.uniform(-1, 1, 2)
    mask = (u**2 + v**2 <= 1) & ((u - bite[0]) ** 2 + (v - bite[1]) ** 2 > 0.2)
    rle = pycocotools.mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [height, width], "counts": rle["counts"].decode()}


def guesses(rng: np.random.Generator, scene: World, slots: int = 40, cells: int = 14) -> Detections:
    """Boxes near objects and anywhere, with tied scores; in file pixels, one row of slots per image."""
    labels = {number: label for label, number in enumerate(scene.meta.category_ids)}
    rows = []
    for image in scene.truth["images"]:
        own = [note for note in scene.truth["annotations"] if note["image_id"] == image["id"]]
        boxes = random_boxes(rng, slots, image["height"], image["width"])
        classes = rng.integers(0, len(labels), slots)
        for slot, note in enumerate(own * 3):
            x, y, w, h = note["bbox"]
            if slot < slots:
                boxes[slot] = np.array([x, y, x + w, y + h]) + rng.normal(0, 0.05, 4) * [w, h, w, h]
                classes[slot] = labels[note["category_id"]]
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 0.5)
        rows.append((boxes, classes))
    total = len(rows)
    scores = np.round(rng.random((total, slots)), 1)  # ties on purpose
    valid = rng.random((total, slots)) < rng.choice([0.0, 0.5, 1.0], (total, 1))
    rough = torch.from_numpy(rng.random((total * slots, 1, 4, 4)))
    masks = torch.nn.functional.interpolate(rough, cells, mode="bilinear").reshape(total, slots, cells, cells)
    return Detections(
        boxes=torch.from_numpy(np.stack([boxes for boxes, _ in rows])).float(),
        scores=torch.from_numpy(scores).float().sort(dim=1, descending=True)[0],
        labels=torch.from_numpy(np.stack([classes for _, classes in rows])),
        valid=torch.from_numpy(valid),
        proposal_index=torch.zeros(total, slots, dtype=torch.int64),
        probabilities=torch.zeros(total, slots, len(labels) + 1),
        masks=masks.float(),
    )


def batch(scene: World, scale: float = 1.0) -> Batch:
    """All images of a world as one batch whose canvas is `scale` times the files."""
    count = len(scene.sizes)
    ids = torch.tensor([image["id"] for image in scene.truth["images"]])
    images = Images(torch.zeros(count, 3, 1, 1, dtype=torch.uint8), scene.sizes.float() * scale, ids)
    none = torch.zeros(count, 0)
    targets = Targets(torch.zeros(count, 0, 4), none.long(), none.bool(), none.bool(), None, None)
    return Batch(images, targets, ids, scene.sizes)


def share(images: list[int], found: Detections, whole: Batch) -> tuple[Detections, Batch]:
    """Return some images of a batch and their detections."""
    part = whole._replace(
        images=whole.images._replace(sizes=whole.images.sizes[images]),
        ids=whole.ids[images],
        original_sizes=whole.original_sizes[images],
    )
    fields = {name: value[images] for name, value in found._asdict().items() if isinstance(value, Tensor)}
    extra = {name: value[images] for name, value in (found.extra or {}).items()}
    return found._replace(**fields, extra=extra or None), part
