"""What evaluating a validation set costs, ours against the usual way, in one run: CPU seconds, one thread each.

Mask AP: detections as a model leaves them (100 per image, 28 x 28 probabilities in boxes) become masks of the file, RLE
and AP. The usual way is torchvision's `paste_masks_in_image`, pycocotools' `encode` and `COCOeval`. LVIS: box AP of 300
detections per image over 1,203 classes, against lvis-api. The scenes are random, with the sizes and counts of COCO and
LVIS; both sides score the same detections, and the LVIS numbers must be equal. Where the usual way is measured on a
part of the images, its time is that part's, scaled by the number of images: pasting costs the same for each image, and
AP at least in proportion. Masks are discs with bent contours; shreds of noise have RLEs half as long again, and with
them the ratio end to end was 39.

Writes benchmarks/results/evaluation.md. Run: python benchmarks/evaluation.py [--images 5000] [--peer 200]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import os
import platform
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

if __name__ == "__main__":
    os.environ |= {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"}  # before the libraries that read them

import hotcoco
import numpy as np
import pycocotools.mask
import torch
import torchvision
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torchvision.models.detection.roi_heads import paste_masks_in_image

from lineage.data.samples.metadata import DatasetMeta
from lineage.eval.evaluator import DetectionEvaluator
from lineage.eval.protocols.coco import CocoScorer
from lineage.eval.protocols.lvis import LvisScorer
from lineage.structures import Batch, Detections, Images, Targets

ROOT = Path(__file__).parents[1]
HEIGHT, WIDTH, CLASSES, SLOTS, CELLS = 480, 640, 80, 100, 28
OBJECTS = 6.3  # an image, and one more
LVIS_CLASSES, LVIS_SLOTS = 1203, 300


class World(NamedTuple):
    truth: dict[str, Any]
    meta: DatasetMeta

    def ground_truth(self) -> dict[str, Any]:
        return self.truth


def boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    """Sides of COCO's: a median of 60 pixels, a tenth below 15, a tenth above 240."""
    side = np.exp(rng.normal(np.log(60), 1.0, (count, 1)) + rng.normal(0, 0.35, (count, 2)))
    centre = rng.random((count, 2)) * [WIDTH, HEIGHT]
    found = np.concatenate([centre - side / 2, centre + side / 2], 1)
    found = np.clip(found, 0, [WIDTH, HEIGHT, WIDTH, HEIGHT])
    found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 2)
    return found


def blobs(rng: np.random.Generator, count: int) -> torch.Tensor:
    """[count, 28, 28] probabilities of objects: discs with a bent contour, soft over some cells."""
    rough = torch.from_numpy(rng.normal(0, 0.5, (count, 1, 5, 5)))
    bend = torch.nn.functional.interpolate(rough, CELLS, mode="bicubic")[:, 0]
    at = torch.linspace(-1, 1, CELLS)
    return (5 * (0.9 - at[:, None] ** 2 - at**2 + bend)).sigmoid().float()


def ellipse(box: np.ndarray) -> list[float]:
    """A polygon of 24 corners."""
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    return (centre + half * np.stack([np.cos(angle), np.sin(angle)], 1)).round(2).ravel().tolist()


def world(images: int, classes: int, objects: float, seed: int = 0) -> World:
    rng = np.random.default_rng(seed)
    popular = 1 / np.arange(1, classes + 1)
    notes: list[dict[str, Any]] = []
    for image in range(1, images + 1):
        for box in boxes(rng, 1 + rng.poisson(objects)):
            number = int(rng.choice(classes, p=popular / popular.sum())) + 1
            x, y, w, h = (float(v) for v in (*box[:2], *(box[2:] - box[:2])))
            notes.append({"id": len(notes) + 1, "image_id": image, "category_id": number, "iscrowd": 0,
                          "bbox": [x, y, w, h], "area": w * h * 0.78, "segmentation": [ellipse(box)]})  # fmt: skip
    records = [{"id": image, "height": HEIGHT, "width": WIDTH} for image in range(1, images + 1)]
    categories = [{"id": number, "name": f"class {number}"} for number in range(1, classes + 1)]
    meta = DatasetMeta(tuple(one["name"] for one in categories), tuple(range(1, classes + 1)))
    return World({"images": records, "annotations": notes, "categories": categories}, meta)


def federated(scene: World, seed: int = 0) -> World:
    """With LVIS's lists: some fifteen absent classes per image, now and then one not exhaustive."""
    rng = np.random.default_rng(seed)
    present: dict[int, set[int]] = {}
    for note in scene.truth["annotations"]:
        del note["iscrowd"]
        present.setdefault(note["image_id"], set()).add(note["category_id"])
    for image in scene.truth["images"]:
        mine = present[image["id"]]
        image["neg_category_ids"] = sorted({int(n) for n in rng.integers(1, LVIS_CLASSES + 1, 15)} - mine)
        image["not_exhaustive_category_ids"] = sorted(mine)[: int(rng.random() < 0.3)]
    for place, one in enumerate(scene.truth["categories"]):
        one["frequency"] = "fcr"[min(2, place // 405)]
    return scene


def batches(scene: World, slots: int, masks: bool) -> Iterator[tuple[Detections, Batch]]:
    """One image at a time: half of the detections near an object, the others anywhere."""
    rng = np.random.default_rng(1)
    shapes = blobs(rng, 512)
    known: dict[int, list[dict[str, Any]]] = {}
    for note in scene.truth["annotations"]:
        known.setdefault(note["image_id"], []).append(note)
    for image in scene.truth["images"]:
        found, labels = boxes(rng, slots), rng.integers(0, len(scene.meta.category_ids), slots)
        for slot, one in enumerate(known[image["id"]] * (slots // 2 // len(known[image["id"]]))):
            x, y, w, h = one["bbox"]
            found[slot] = np.array([x, y, x + w, y + h]) + rng.normal(0, 0.06, 4) * [w, h, w, h]
            labels[slot] = one["category_id"] - 1
        found = np.clip(found, 0, [WIDTH, HEIGHT, WIDTH, HEIGHT])
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
        scores = np.sort(rng.random(slots))[::-1].copy()
        chosen = shapes[rng.integers(0, len(shapes), slots)][None] if masks else None
        none = torch.zeros(1, 0)
        yield Detections(
            boxes=torch.from_numpy(found).float()[None], scores=torch.from_numpy(scores).float()[None],
            labels=torch.from_numpy(labels)[None], valid=torch.ones(1, slots, dtype=torch.bool),
            proposal_index=torch.zeros(1, slots, dtype=torch.int64),
            probabilities=torch.zeros(1, slots, 1), masks=chosen,
        ), Batch(
            Images(torch.zeros(1, 3, 1, 1, dtype=torch.uint8), torch.tensor([[HEIGHT, WIDTH]]).float(), torch.zeros(1)),
            Targets(torch.zeros(1, 0, 4), none.long(), none.bool(), none.bool(), None, None),
            torch.tensor([image["id"]]), torch.tensor([[HEIGHT, WIDTH]]),
        )  # fmt: skip


def ours(scene: World, slots: int, kind: type, tasks: list[str]) -> tuple[dict[str, float], float, float, Any]:
    """Metrics, seconds while detections come and seconds of the score; making detections does not count."""
    evaluator = DetectionEvaluator(kind(dataset=scene, tasks=tasks))
    coming = 0.0
    for found, batch in batches(scene, slots, masks="mask" in tasks):
        start = time.process_time()
        evaluator.update(found, batch)
        coming += time.process_time() - start
    start = time.process_time()
    metrics = evaluator.compute()
    return metrics, coming, time.process_time() - start, evaluator


def usual_masks(scene: World) -> tuple[np.ndarray, float, float]:
    """torchvision and pycocotools: seconds of pasting and encoding, and of the score."""
    records: list[dict[str, Any]] = []
    coming = 0.0
    for found, batch in batches(scene, SLOTS, masks=True):
        assert found.masks is not None
        start = time.process_time()
        pasted = paste_masks_in_image(found.masks[0][:, None], found.boxes[0], (HEIGHT, WIDTH))[:, 0] >= 0.5
        for mask, label, score in zip(pasted, found.labels[0].tolist(), found.scores[0].tolist(), strict=True):
            rle = pycocotools.mask.encode(np.asfortranarray(mask.numpy().astype(np.uint8)))
            where = {"image_id": int(batch.ids[0]), "category_id": label + 1}
            records.append(where | {"score": score, "segmentation": rle})
        coming += time.process_time() - start
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = scene.truth
        truth.createIndex()
        start = time.process_time()
        engine = COCOeval(truth, truth.loadRes(records), "segm")
        engine.evaluate()
        engine.accumulate()
        engine.summarize()
    return engine.stats, coming, time.process_time() - start


def usual_lvis(scene: World, records: list[dict[str, Any]]) -> tuple[np.ndarray, float]:
    np.float = float  # type: ignore[attr-defined]  # a name that lvis-api needs and NumPy 1.24 removed
    from lvis import LVIS, LVISEval, LVISResults

    logging.disable(logging.WARNING)
    truth = LVIS.__new__(LVIS)
    truth.logger, truth.dataset = logging.getLogger("lvis"), scene.truth
    truth._create_index()
    start = time.process_time()
    engine = LVISEval(truth, LVISResults(truth, records), "bbox")
    engine.run()
    return np.array([*engine.get_results().values()]), time.process_time() - start


def mask_rows(images: int, peer: int) -> list[list[str]]:
    metrics, coming, scoring, evaluator = ours(world(images, CLASSES, OBJECTS), SLOTS, CocoScorer, ["mask"])
    columns = [column for column in evaluator.predictions if isinstance(column, np.ndarray)]
    kept = sum(column.nbytes for column in columns) / 2**20
    stats, their_coming, their_scoring = usual_masks(world(peer, CLASSES, OBJECTS))
    factor = images / peer
    values = [
        ("paste and RLE", coming, their_coming * factor),
        ("AP", scoring, their_scoring * factor),
        ("mask AP end to end", coming + scoring, (their_coming + their_scoring) * factor),
    ]
    print(json.dumps({"mask/AP": metrics["mask/AP"], "theirs on a part": 100 * float(stats[0]), "MiB kept": kept}))
    return [[name, str(images), f"{a:.1f}", f"{b:.1f}", f"{b / a:.0f}x", str(peer)] for name, a, b in values]


def lvis_rows(images: int) -> list[list[str]]:
    scene = federated(world(images, LVIS_CLASSES, 11.2))
    metrics, _, scoring, evaluator = ours(scene, LVIS_SLOTS, LvisScorer, ["box"])
    theirs, seconds = usual_lvis(scene, evaluator.results("box"))
    values = np.array([metrics[name] for name in metrics if name.startswith("box/")]) / 100
    assert np.allclose(values, np.where(theirs < 0, np.nan, theirs), rtol=0, atol=1e-12, equal_nan=True)
    row = ["LVIS box AP", str(images), f"{scoring:.1f}", f"{seconds:.1f}", f"{seconds / scoring:.0f}x", str(images)]
    return [row]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--peer", type=int, default=200, help="images on which the usual mask AP is measured")
    parser.add_argument("--lvis-images", type=int, default=500)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = mask_rows(args.images, min(args.peer, args.images)) + lvis_rows(args.lvis_images)
    head = ["", "images", "lineage, s", "usual, s", "ratio", "images the usual way ran on"]
    table = "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    versions = f"torch {torch.__version__}, torchvision {torchvision.__version__}, NumPy {np.__version__}"
    note = f"{versions}, hotcoco {hotcoco.__version__}, on {platform.machine()}; peak memory {peak:.1f} GiB"
    (ROOT / "benchmarks/results/evaluation.md").write_text(f"{__doc__.strip()}\n\n{table}\n\n{note}\n")
    print(table, note, sep="\n\n")


if __name__ == "__main__":
    main()
