"""The noise of the test images, from the detections that a run has stored: `lineage table TABLE --images`."""

from __future__ import annotations

import json
from pathlib import Path

from omegaconf import OmegaConf

import lineage.config.schema  # noqa: F401  (registers the schema)
from lineage.config.build import build
from lineage.eval.document import document_of
from lineage.eval.engine import load_documents
from lineage.eval.metrics.bootstrap import bootstrap_ap, bootstrap_clips, draw_weights
from lineage.eval.metrics.own_matching import match
from lineage.eval.protocols.frames import METRICS
from lineage.eval.scored_document import coco_documents
from lineage.results import image_noise, paths, store
from lineage.results.entry import Entry
from lineage.results.run_folder import RunFolder

TASKS = ("box", "mask")
LIMIT = 100  # detections of an image and class, as COCO counts


def bootstrap_images(entries: list[Entry], results: Path) -> tuple[int, int]:
    """Write the replicates of the entries that have none; return how many are there, and how many lack detections."""
    present = absent = 0
    for entry in entries:
        path = results / store.place(entry) / f"{entry.id}.json"
        if not image_noise.path_of(path).is_file():
            whole = store.read(path)
            detections = RunFolder(paths.resolve_portable(whole.folder or "", paths.project())).results
            if not whole.folder or not detections.is_file():
                absent += 1
                continue
            image_noise.write(path, compute_replicates(whole, detections))
        present += 1
    return present, absent


def compute_replicates(entry: Entry, detections: Path) -> dict[str, list[float]]:
    """Return metric -> its value for each draw of images; of COCO's box and mask AP, or of frames by their clips."""
    if METRICS[0] in entry.metrics:
        return bootstrap_clips(json.loads(detections.read_text(encoding="utf-8")), METRICS)
    # 1. The test images of the run.
    dataset = build(OmegaConf.create(entry.config["dataset"]["val"]))
    document = document_of(dataset.ground_truth(), dataset.meta.sigmas).ground_truth()
    tasks = [task for task in TASKS if entry.metrics.get(f"{task}/AP") is not None]
    truths = load_documents(coco_documents(document, tasks))
    records = json.loads(detections.read_text(encoding="utf-8"))
    # 2. Their detections, matched once and weighted for each draw.
    replicates: dict[str, list[float]] = {}
    weights = draw_weights(len(document["images"]))
    for task in tasks:
        of_task = [record for record in records if task == "box" or "segmentation" in record]
        classes = match(truths[task], truths[task].load_res(of_task), task, LIMIT)
        values = bootstrap_ap(classes, weights)
        replicates |= {f"{task}/AP": values.ap, f"{task}/AP50": values.ap50, f"{task}/AP75": values.ap75}
    return replicates
