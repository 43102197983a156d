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
from lineage.report.draw import Area, Colour, Mark, Point, colour_of, ground_of, paint
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
    """One image and what is on it, in truth and according to the model."""

    image: Image.Image
    truth: list[Mark]
    found: list[Mark]
    areas: tuple[list[Area], list[Area]]  # of stuff, likewise


def sheet(pairs: Sequence[Pair], path: Path, titles: tuple[str, str] = ("ground truth", "prediction")) -> Path:
    """One PNG, a row per image."""
    rows = [_row(pair) for pair in pairs]
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
    canvas.save(path)
    return path


def predictions(
    dataset: Dataset, results: Sequence[dict[str, Any]], path: Path, count: int = 4, threshold: float = THRESHOLD
) -> Path | None:
    """The sheet of the first `count` images that have objects, with the COCO result records a run ended with."""
    chosen = list(islice(_with_objects(dataset), count))
    if not chosen:
        return None
    pairs = [_pair(sample, dataset.meta, results, threshold) for sample in chosen]
    return sheet(pairs, path, ("ground truth", f"prediction, score at least {threshold:g}"))


def truth_marks(sample: Sample, meta: DatasetMeta) -> list[Mark]:
    """Return the annotations of a sample."""
    marks = []
    for place, (box, label) in enumerate(zip(sample.boxes.tolist(), sample.labels.tolist(), strict=True)):
        text = meta.classes[label] + (" (crowd)" if sample.crowd[place] else "")
        mask = _mask(sample, place) if sample.masks is not None else None
        joints = _seen(sample, place)
        figure = tuple(joints.values()), _joined(joints, meta.skeleton)
        marks.append(Mark(tuple(box), text, colour_of(label), mask, *figure))
    return marks


def found_marks(records: Sequence[dict[str, Any]], meta: DatasetMeta, threshold: float = THRESHOLD) -> list[Mark]:
    """The result records of one image that score at least `threshold`; areas of stuff are no objects and stay out."""
    marks = []
    for record in records:
        if record["score"] < threshold or record["category_id"] not in meta.category_ids:
            continue
        label = meta.category_ids.index(record["category_id"])
        x, y, w, h = record["bbox"]
        mask = decode(record["segmentation"]) if "segmentation" in record else None
        at = record.get("keypoints", [])
        joints = {i: (px + 0.5, py + 0.5) for i, (px, py) in enumerate(zip(at[::3], at[1::3], strict=True))}
        figure = tuple(joints.values()), _joined(joints, meta.skeleton)
        text = f"{meta.classes[label]} {record['score']:.2f}"
        marks.append(Mark((x, y, x + w, y + h), text, colour_of(label), mask, *figure))
    return marks


def truth_areas(sample: Sample, meta: DatasetMeta) -> list[Area]:
    """The stuff of a sample."""
    return [] if sample.semantic is None else areas(sample.semantic.numpy(), meta.stuff)


def seen_areas(found: Detections, batch: Batch, slot: int, stuff: Sequence[str]) -> list[Area]:
    """The stuff that a model sees in one image of a batch, in the pixels of its file."""
    if found.semantic is None:
        return []
    height, width = batch.images.sizes[slot].round().long().tolist()
    tall, wide = batch.original_sizes[slot].tolist()
    names = stuff or [f"stuff {label}" for label in range(found.semantic.shape[1])]  # weights alone have no names
    return areas(classify(found.semantic[slot], (height, width), (tall, wide)), names)


def areas(semantic: NDArray[np.integer], stuff: Sequence[str]) -> list[Area]:
    """Of a map [h, w] of classes: class 0 are things and `stuff[0]`, what has no name is not labelled."""
    labels = [label for label in np.unique(semantic).tolist() if 0 < label < len(stuff)]
    return [Area(semantic == label, stuff[label], ground_of(label)) for label in labels]


def found_areas(records: Sequence[dict[str, Any]], meta: DatasetMeta) -> list[Area]:
    """The records of one image that are areas of stuff."""
    named = dict(zip(meta.stuff_ids, meta.stuff[1:], strict=True))
    labels = {number: label for label, number in enumerate(named, 1)}
    found = [(record["category_id"], decode(record["segmentation"])) for record in records
             if record["category_id"] in named]  # fmt: skip
    return [Area(mask, named[number], ground_of(labels[number])) for number, mask in found]


def _with_objects(dataset: Dataset) -> Iterator[Sample]:
    samples = (dataset[index] for index in range(len(dataset)))
    return (sample for sample in samples if len(sample.labels))


def _pair(sample: Sample, meta: DatasetMeta, results: Sequence[dict[str, Any]], threshold: float) -> Pair:
    image = Image.fromarray(sample.image.permute(1, 2, 0).contiguous().numpy())
    own = [record for record in results if record["image_id"] == sample.image_id]
    ground = truth_areas(sample, meta), found_areas(own, meta)
    return Pair(image, truth_marks(sample, meta), found_marks(own, meta, threshold), ground)


def _row(pair: Pair) -> tuple[Image.Image, Image.Image]:
    scale = min(PANEL[0] / pair.image.width, PANEL[1] / pair.image.height)
    truth, found = pair.areas
    return paint(pair.image, pair.truth, scale, truth), paint(pair.image, pair.found, scale, found)


def _mask(sample: Sample, place: int) -> np.ndarray:
    assert sample.masks is not None
    bits, (x, y, width, height) = sample.masks.pieces()[place]
    mask = np.zeros(tuple(sample.image.shape[1:]), dtype=bool)
    mask[y : y + height, x : x + width] = bits.numpy()
    return mask


def _seen(sample: Sample, place: int) -> dict[int, Point]:
    """The labelled keypoints of an object."""
    if sample.keypoints is None or sample.visibility is None:
        return {}
    labelled = sample.visibility[place].nonzero()[:, 0].tolist()
    return {joint: tuple(sample.keypoints[place][joint].tolist()) for joint in labelled}


def _joined(joints: dict[int, Point], skeleton: Sequence[tuple[int, int]]) -> tuple[tuple[Point, Point], ...]:
    """The bones whose ends are both there."""
    return tuple((joints[one], joints[other]) for one, other in skeleton if one in joints and other in joints)
