"""The picture of a run: validation images with the ground truth on the left and the prediction on the right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from lineage.data.samples.sample import Sample
from lineage.eval.panoptic_merge import classify
from lineage.eval.predictions.rle import decode
from lineage.report.draw import Area, Colour, Mark, Point, object_colour, paint, stuff_colour
from lineage.results.atomic import atomic_write
from lineage.structures import Batch, Detections

if TYPE_CHECKING:
    from lineage.data.samples.dataset import Dataset
    from lineage.data.samples.metadata import DatasetMeta

PANEL = (520, 400)  # an image is enlarged or reduced until it just fits
GAP, MARGIN, HEAD = 12, 20, 34
BACKGROUND: Colour = (22, 24, 29)  # photographs stand out on it, on light and on dark pages
LETTERS: Colour = (200, 204, 212)
THRESHOLD = 0.5


class Pair(NamedTuple):
    """One image with its annotations and its predictions."""

    image: Image.Image
    truth: list[Mark]
    predicted: list[Mark]
    truth_areas: list[Area]  # of stuff
    predicted_areas: list[Area]


def save_sheet(pairs: Sequence[Pair], path: Path, titles: tuple[str, str] = ("ground truth", "prediction")) -> Path:
    """Write one PNG with a row per image."""
    rows = [_paint_pair(pair) for pair in pairs]
    widths = [max(row[side].width for row in rows) for side in (0, 1)]
    height = sum(row[0].height + GAP for row in rows) - GAP
    canvas = Image.new("RGB", (sum(widths) + GAP + 2 * MARGIN, height + HEAD + 2 * MARGIN - GAP), BACKGROUND)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(18)
    lefts = (MARGIN, MARGIN + widths[0] + GAP)
    for left, title in zip(lefts, titles, strict=True):
        draw.text((left, MARGIN - 8), title, fill=LETTERS, font=font)
    top = MARGIN + HEAD - GAP
    for row in rows:
        for left, panel in zip(lefts, row, strict=True):
            canvas.paste(panel, (left, top))
        top += row[0].height + GAP
    atomic_write(path, canvas.save)
    return path


def save_predictions(
    dataset: Dataset, results: Sequence[dict[str, Any]], path: Path, count: int = 4, threshold: float = THRESHOLD
) -> Path | None:
    """Write the sheet of the first `count` images that have objects; return None if no image has any.

    `results`: COCO result records; those below `threshold` are not drawn.
    """
    samples = list(islice(_samples_with_objects(dataset), count))
    if not samples:
        return None
    pairs = [_make_pair(sample, dataset.meta, results, threshold) for sample in samples]
    return save_sheet(pairs, path, ("ground truth", f"prediction, score at least {threshold:g}"))


def mark_truth(sample: Sample, meta: DatasetMeta) -> list[Mark]:
    """Return the annotations of a sample."""
    marks = []
    for index, (box, label) in enumerate(zip(sample.boxes.tolist(), sample.labels.tolist(), strict=True)):
        text = meta.classes[label] + (" (crowd)" if sample.crowd[index] else "")
        mask = _object_mask(sample, index) if sample.masks is not None else None
        keypoints = _select_labelled(sample, index)
        figure = tuple(keypoints.values()), _connect(keypoints, meta.skeleton)
        marks.append(Mark(tuple(box), text, object_colour(label), mask, *figure))
    return marks


def mark_predictions(records: Sequence[dict[str, Any]], meta: DatasetMeta, threshold: float = THRESHOLD) -> list[Mark]:
    """Return the result records of one image that score at least `threshold`, without areas of stuff."""
    marks = []
    for record in records:
        if record["score"] < threshold or record["category_id"] not in meta.category_ids:
            continue
        label = meta.category_ids.index(record["category_id"])
        x, y, w, h = record["bbox"]
        mask = decode(record["segmentation"]) if "segmentation" in record else None
        flat = record.get("keypoints", [])  # x, y, score of each
        points = [(x + 0.5, y + 0.5) for x, y in zip(flat[::3], flat[1::3], strict=True)]
        slots = meta.keypoint_slots(label) if meta.keypoints else range(len(points))  # the rest is of other classes
        keypoints = {slot: points[slot] for slot in slots if slot < len(points)}
        figure = tuple(keypoints.values()), _connect(keypoints, meta.skeleton)
        track = record.get("track_id")  # of an object of a video, which keeps its colour
        name = meta.classes[label] if track is None else f"{meta.classes[label]} {track}"
        colour = object_colour(label if track is None else track)
        marks.append(Mark((x, y, x + w, y + h), f"{name} {record['score']:.2f}", colour, mask, *figure))
    return marks


def truth_areas(sample: Sample, meta: DatasetMeta) -> list[Area]:
    """Return the annotated stuff of a sample."""
    return [] if sample.semantic is None else split_areas(sample.semantic.numpy(), meta.stuff)


def extract_areas(detections: Detections, batch: Batch, slot: int, stuff: Sequence[str]) -> list[Area]:
    """Return the predicted stuff of one image of a batch, in the pixels of its file."""
    if detections.semantic is None:
        return []
    height, width = batch.images.sizes[slot].round().long().tolist()
    tall, wide = batch.original_sizes[slot].tolist()
    names = stuff or [f"stuff {label}" for label in range(detections.semantic.shape[1])]  # weights alone have no names
    return split_areas(classify(detections.semantic[slot], (height, width), (tall, wide)), names)


def split_areas(semantic: NDArray[np.integer], stuff: Sequence[str]) -> list[Area]:
    """Return an area per class of a map [h, w]; 0, the things, and labels beyond `stuff` (unlabelled) have none."""
    labels = [label for label in np.unique(semantic).tolist() if 0 < label < len(stuff)]
    return [Area(semantic == label, stuff[label], stuff_colour(label)) for label in labels]


def record_areas(records: Sequence[dict[str, Any]], meta: DatasetMeta) -> list[Area]:
    """Return the result records of one image that are areas of stuff."""
    names = dict(zip(meta.stuff_ids, meta.stuff[1:], strict=True))
    labels = {number: label for label, number in enumerate(names, 1)}
    masks = [(record["category_id"], decode(record["segmentation"])) for record in records
             if record["category_id"] in names]  # fmt: skip
    return [Area(mask, names[number], stuff_colour(labels[number])) for number, mask in masks]


def _samples_with_objects(dataset: Dataset) -> Iterator[Sample]:
    samples = (dataset[index] for index in range(len(dataset)))
    return (sample for sample in samples if len(sample.labels))


def _make_pair(sample: Sample, meta: DatasetMeta, results: Sequence[dict[str, Any]], threshold: float) -> Pair:
    image = Image.fromarray(sample.image.permute(1, 2, 0).contiguous().numpy())
    records = [record for record in results if record["image_id"] == sample.image_id]
    marks = mark_truth(sample, meta), mark_predictions(records, meta, threshold)
    return Pair(image, *marks, truth_areas(sample, meta), record_areas(records, meta))


def _paint_pair(pair: Pair) -> tuple[Image.Image, Image.Image]:
    scale = min(PANEL[0] / pair.image.width, PANEL[1] / pair.image.height)
    truth = paint(pair.image, pair.truth, scale, pair.truth_areas)
    return truth, paint(pair.image, pair.predicted, scale, pair.predicted_areas)


def _object_mask(sample: Sample, index: int) -> np.ndarray:
    assert sample.masks is not None
    bits, (x, y, width, height) = sample.masks.pieces()[index]
    mask = np.zeros(tuple(sample.image.shape[1:]), dtype=bool)
    mask[y : y + height, x : x + width] = bits.numpy()
    return mask


def _select_labelled(sample: Sample, index: int) -> dict[int, Point]:
    """Return the labelled keypoints of an object, by their index in the dataset."""
    if sample.keypoints is None or sample.visibility is None:
        return {}
    labelled = sample.visibility[index].nonzero()[:, 0].tolist()
    return {number: tuple(sample.keypoints[index][number].tolist()) for number in labelled}


def _connect(keypoints: dict[int, Point], skeleton: Sequence[tuple[int, int]]) -> tuple[tuple[Point, Point], ...]:
    """Return the pairs of the skeleton of which both keypoints exist."""
    return tuple((keypoints[a], keypoints[b]) for a, b in skeleton if a in keypoints and b in keypoints)
