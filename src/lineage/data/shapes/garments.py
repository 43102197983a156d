"""Drawn garments with landmarks of their class in the layout of DeepFashion2, so that fashion models run without files.

As there, the area of an object is that of its box, and landmarks behind another garment are labelled as hidden.
Images depend on (seed, index) alone, as those of `Shapes` do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.random import Generator

from lineage.data.annotations.defects import Defect, Record
from lineage.data.annotations.skeleton import create_flip_indices
from lineage.data.samples.dataset import ObjectLabels, read_object_labels
from lineage.data.samples.metadata import DatasetMeta
from lineage.data.samples.sample import Sample
from lineage.data.shapes import garment_outlines as garments
from lineage.data.shapes import textures
from lineage.data.shapes.dataset import parse_sizes
from lineage.data.shapes.drawn_files import DrawnFiles, DrawnSample
from lineage.data.shapes.drawn_sample import annotate_layout, make_coco_document, to_drawn_sample, to_sample
from lineage.data.shapes.outlines import deform
from lineage.data.shapes.scene import (
    CLUTTER,
    Layout,
    Piece,
    Scene,
    fit_outline,
    paint_pieces,
    place_object,
    rasterize,
    read_labels,
    resolve_occlusion,
    tight_boxes,
)
from lineage.ops.random import fold_in

VERSION = 1  # raise it whenever the same parameters give different pixels or annotations
TURN = 0.35  # radians: people mostly stand


class GarmentSettings(NamedTuple):
    objects: float  # mean number per image before occlusion
    clutter: float  # mean number of things that are not annotated
    scales: tuple[float, float]  # longer side of a garment as a share of the image's shorter side


class Garments:
    """Dataset of drawn garments.

    size     side, (height, width), or a list of such pairs, of which each image takes one
    objects  mean number of garments per image before occlusion
    clutter  mean number of drawn things without annotation
    scales   (lowest, highest) length of a garment as a share of the shorter side of the image
    """

    def __init__(
        self, *, seed: int, length: int, size: int | Sequence[Any] = 128, objects: float = 2.5, clutter: float = 1.0,
        scales: Sequence[float] = (0.35, 0.85),
    ) -> None:  # fmt: skip
        if length < 1:
            raise ValueError(f"garments: length={length} leaves no image; it is 1 or more")
        self.seed, self.length = seed, length
        self.settings = GarmentSettings(objects, clutter, (float(scales[0]), float(scales[1])))
        self.meta = DatasetMeta(
            classes=garments.CLASSES,
            category_ids=tuple(range(1, len(garments.CLASSES) + 1)),
            keypoints=garments.LANDMARKS,
            flip_indices=create_flip_indices(garments.LANDMARKS),
            skeleton=garments.SKELETON,
            sigmas=garments.TOLERANCES,
            keypoint_counts=garments.LENGTHS,
            keypoint_offsets=garments.OFFSETS,
        )
        self.part_lengths: tuple[int, ...] = (length,)
        self.source: Path | None = None
        self.ids = torch.arange(1, length + 1)
        choices = parse_sizes(size)
        sizes = [choices[fold_in("garments", "size", seed, i) % len(choices)] for i in range(length)]
        self.sizes = torch.tensor(sizes, dtype=torch.int64).reshape(-1, 2)
        key = ("garments", VERSION, seed, choices, tuple(self.settings))
        self.fingerprint = hashlib.sha256(repr((*key, length)).encode()).hexdigest()
        self.files = DrawnFiles(key, int(self.sizes.prod(1).sum()), len(garments.LANDMARKS))

    def __len__(self) -> int:
        return self.length

    def size_of(self, index: int) -> tuple[int, int]:
        if not 0 <= index < self.length:
            raise IndexError(f"image {index} of a dataset with {self.length} drawn images")
        height, width = self.sizes[index].tolist()
        return height, width

    def __getitem__(self, index: int) -> Sample:
        size = self.size_of(index)
        return to_sample(self.files.get(index, size, partial(self._draw, index)), index + 1, size)

    def draw_scene(self, index: int) -> Scene:
        return draw_scene(self.seed, index, self.size_of(index), self.settings)

    def _draw(self, index: int) -> DrawnSample:
        scene = self.draw_scene(index)
        return to_drawn_sample(scene, scene.labels)

    def ground_truth(self) -> dict[str, Any]:
        return self._coco

    def object_labels(self) -> ObjectLabels:
        return read_object_labels(self._coco, self.meta.category_ids)

    def find_defects(self, progress: Callable[[Sequence[Record]], Iterable[Record]]) -> Iterator[Defect]:
        """Return no defect: there are no files to check."""
        return iter(())

    @cached_property
    def _coco(self) -> dict[str, Any]:
        annotations = [annotation for index in range(self.length) for annotation in self._annotations(index)]
        sizes = [(height, width) for height, width in self.sizes.tolist()]
        return make_coco_document(sizes, annotations, make_categories())

    def _annotations(self, index: int) -> list[dict[str, Any]]:
        layout = make_layout(self.seed, index, self.size_of(index), self.settings)
        annotations = annotate_layout(layout, index + 1)
        return [annotation | {"area": annotation["bbox"][2] * annotation["bbox"][3]} for annotation in annotations]


def make_categories() -> list[dict[str, Any]]:
    """Return COCO categories, each with the landmarks of all, as DeepFashion2's converter writes them."""
    skeleton = [[first + 1, second + 1] for first, second in garments.SKELETON]
    landmarks = {"keypoints": list(garments.LANDMARKS), "skeleton": skeleton, "sigmas": list(garments.TOLERANCES)}
    return [
        {"id": number, "name": name, "supercategory": "clothes", **landmarks}
        for number, name in enumerate(garments.CLASSES, 1)
    ]


def draw_scene(seed: int, index: int, size: tuple[int, int], settings: GarmentSettings) -> Scene:
    layout = make_layout(seed, index, size, settings)
    rng = np.random.default_rng(fold_in("garments", "paint", seed, index))
    image = paint_pieces(rng, textures.background(rng, *size), layout.painted)
    return Scene(image, layout.masks, tight_boxes(layout.masks), *read_labels(layout), layout.keypoints, None)


def make_layout(seed: int, index: int, size: tuple[int, int], settings: GarmentSettings) -> Layout:
    """Return garments and clutter in random order, from the back to the front, with their landmarks."""
    rng = np.random.default_rng(fold_in("garments", "layout", seed, index))
    count = max(1, rng.poisson(settings.objects)) if settings.objects else 0
    labels = [int(label) for label in rng.integers(len(garments.CLASSES), size=count)]
    labels += [CLUTTER] * int(rng.poisson(settings.clutter))
    pieces = [place_piece(rng, labels[i], size, settings) for i in rng.permutation(len(labels))]
    return resolve_occlusion(pieces, size, len(garments.LANDMARKS))


def place_piece(rng: Generator, label: int, size: tuple[int, int], settings: GarmentSettings) -> Piece:
    """Draw a garment somewhere on the canvas, mostly inside it, or a thing that is not annotated."""
    low, high = settings.scales
    length = min(size) * float(np.exp(rng.uniform(np.log(low), np.log(high))))
    if label == CLUTTER:
        return place_object(rng, CLUTTER, 0.6 * length, size)
    centre = rng.uniform(0.2, 0.8, 2) * (size[1], size[0])
    outline = fit_outline(deform(garments.draw_garment(label, rng), rng, TURN), length, centre)
    return rasterize(outline, size, label)._replace(first_keypoint=garments.OFFSETS[label])
