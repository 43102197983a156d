"""Ground truths and result records on an integer grid: equal scores, equal overlaps, overlaps on the thresholds."""

from __future__ import annotations

import contextlib
import io
import json
from typing import Any

import numpy as np
import pycocotools.mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

SIDE = 64
Record = dict[str, Any]
Case = tuple[Record, list[Record]]


def case(seed: int, points: int = 0) -> Case:
    """A few images, some empty, of several sizes of objects; a fifth is crowd; the last class has no object."""
    rng = np.random.default_rng(seed)
    classes = int(rng.integers(1, 5))
    images = [{"id": int(i), "height": SIDE, "width": SIDE} for i in rng.permutation(50)[: rng.integers(1, 6)]]
    notes: list[Record] = []
    found: list[Record] = []
    for image in images:
        own = [record(rng, image["id"], classes, random_box(rng), points) for _ in range(int(rng.integers(0, 12)))]
        for one in own:
            one["area"] = float(rng.choice([one["area"], 500, 1024, 1025, 9216]))
            one["iscrowd"] = int(rng.random() < 0.2)
        notes += own
        found += [guess(rng, image["id"], classes, own, points) for _ in range(int(rng.choice([0, 3, 20, 130])))]
    for number, one in enumerate(notes, 1):
        one["id"] = number
    categories = [{"id": number, "name": f"class {number}"} for number in range(1, classes + 2)]
    return {"images": images, "annotations": notes, "categories": categories}, found


def random_box(rng: np.random.Generator) -> list[int]:
    x, y = (int(v) for v in rng.integers(0, 40, 2))
    w, h = (int(v) for v in rng.integers(1, 5, 2) * 8)
    return [x, y, min(w, SIDE - x), min(h, SIDE - y)]


def guess(rng: np.random.Generator, image: int, classes: int, own: list[Record], points: int) -> Record:
    box = random_box(rng)
    near = own[rng.integers(len(own))] if own and rng.random() < 0.7 else None
    if near:
        shift = rng.integers(-2, 3, 2) if rng.random() < 0.7 else (0, 0)
        x, y = (min(max(0, near["bbox"][axis] + int(shift[axis])), SIDE - 8) for axis in (0, 1))
        box = [x, y, min(near["bbox"][2], SIDE - x), min(near["bbox"][3], SIDE - y)]
    found = record(rng, image, classes + 1, box, points)
    if near and points:
        moved = np.array(near["keypoints"]).reshape(-1, 3) + np.array([*rng.integers(-2, 3, 2), 0])
        found["keypoints"] = moved.ravel().tolist()
    if near and rng.random() < 0.8:
        found["category_id"] = near["category_id"]
    return found | {"score": float(np.round(rng.random(), 1))}


def record(rng: np.random.Generator, image: int, classes: int, box: list[int], points: int) -> Record:
    rle = pycocotools.mask.frPyObjects(np.array([box], float), SIDE, SIDE)[0]
    if rng.random() < 0.5:  # an L in place of a full box
        mask = np.asfortranarray(pycocotools.mask.decode(rle))
        mask[box[1] : box[1] + box[3] // 2, box[0] + box[2] // 2 :] = 0
        rle = pycocotools.mask.encode(mask)
    shape = {"size": rle["size"], "counts": rle["counts"].decode()}
    made = {"image_id": image, "category_id": int(rng.integers(1, classes + 1)), "bbox": box, "segmentation": shape}
    made["area"] = float(pycocotools.mask.area(rle))
    if points:
        at = rng.integers(0, 9, (points, 2)) * np.array(box[2:]) // 8 + box[:2]
        seen = rng.choice([0, 1, 2], points, p=[0.2, 0.2, 0.6]) * int(rng.random() < 0.9)
        made["keypoints"] = np.concatenate([at, seen[:, None]], 1).ravel().tolist()
        made["num_keypoints"] = int((seen > 0).sum())
    return made


def only(records: list[Record], field: str) -> list[Record]:
    return [{key: one[key] for key in ("image_id", "category_id", "score", field)} for one in records]


def official(truth: Record, records: list[Record], kind: str, engine: type[COCOeval] = COCOeval) -> np.ndarray:
    """pycocotools' numbers; NaN where it has none."""
    with contextlib.redirect_stdout(io.StringIO()):
        loaded = COCO()
        loaded.dataset = json.loads(json.dumps(truth))
        loaded.createIndex()
        run = engine(loaded, loaded.loadRes(json.loads(json.dumps(records))), kind)
        run.evaluate()
        run.accumulate()
        run.summarize()
    return np.where(run.stats < 0, np.nan, run.stats)
