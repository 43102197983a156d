"""The embedded dataset: generated images with exact annotations, so that every experiment runs without a download.

Scenes are drawn on demand (scene.py) and depend on (seed, index) alone: a worker, a resumed run and another machine
draw the same image. Drawn samples are stored as files (drawn_files.py). Splits are streams of different seeds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lineage.data.annotations.defects import Defect, Record
from lineage.data.annotations.skeleton import read_skeleton
from lineage.data.samples.dataset import ObjectLabels, read_object_labels
from lineage.data.samples.metadata import DatasetMeta
from lineage.data.samples.sample import Sample
from lineage.data.shapes import scene as drawing
from lineage.data.shapes.drawn_files import DrawnFiles, DrawnSample
from lineage.data.shapes.drawn_sample import annotate_layout, make_coco_document, to_drawn_sample, to_sample
from lineage.data.shapes.materials import CATEGORY
from lineage.data.shapes.materials import CLASSES as STUFF
from lineage.data.shapes.outlines import CLASSES, FLIP_INDICES, KEYPOINTS, SKELETON
from lineage.data.shapes.panoptic import make_panoptic_annotation
from lineage.data.shapes.scene import STANDARD, Layout, Scene, SceneSettings
from lineage.ops.random import fold_in

FIGURE_SKELETON = read_skeleton([{"keypoints": KEYPOINTS, "skeleton": SKELETON}])  # of COCO's person


class Shapes:
    """Dataset of generated scenes.

    size     side, (height, width), or a list of such pairs, of which each image takes one
    objects  mean number per image before occlusion
    crowds   share of images with a crowd region
    clutter  mean number of drawn things without annotation
    tail     the frequency of a class falls as 1 / rank^tail
    scales   (lowest, highest) length of an object as a share of the shorter side of the image
    kinds    number of classes of the twelve, the frequent ones first
    only     names of the classes, all equally often, in place of `kinds`
    stuff    the background is made of four materials, and each image has semantic labels
    coloured each class has a hue of its own; else classes differ by shape alone
    """

    def __init__(
        self, *, seed: int, length: int, size: int | Sequence[Any] = 128, objects: float = 6.0, crowds: float = 0.15,
        clutter: float = 3.0, tail: float = 1.0, scales: Sequence[float] = (0.07, 0.7), kinds: int = len(CLASSES),
        only: Sequence[str] = (), stuff: bool = False, coloured: bool = False,
    ) -> None:  # fmt: skip
        if length < 1:
            raise ValueError(f"shapes: length={length} leaves no image; it is 1 or more")
        if not 1 <= kinds <= len(CLASSES):
            raise ValueError(f"shapes: kinds={kinds}; there are {len(CLASSES)} classes, so it is 1 to {len(CLASSES)}")
        if not set(only) <= set(CLASSES):
            raise ValueError(f"shapes: only={list(only)}; the classes are {', '.join(CLASSES)}")
        self.seed, self.length = seed, length
        only_labels = tuple(CLASSES.index(name) for name in only)
        self._labels = only_labels or tuple(range(kinds))  # where each of our classes is in CLASSES
        self.settings = SceneSettings(
            objects,
            crowds,
            clutter,
            tail,
            (float(scales[0]), float(scales[1])),
            kinds,
            only_labels,
            stuff,
            coloured,
        )
        self.meta = DatasetMeta(
            classes=tuple(CLASSES[i] for i in self._labels),
            category_ids=tuple(i + 1 for i in self._labels),
            keypoints=KEYPOINTS,
            flip_indices=FLIP_INDICES,
            skeleton=FIGURE_SKELETON,
            stuff=("things", *STUFF) if stuff else (),
            stuff_ids=tuple(CATEGORY + i for i in range(1, len(STUFF) + 1)) if stuff else (),
        )
        self.part_lengths: tuple[int, ...] = (length,)
        self.source: Path | None = None
        self.ids = torch.arange(1, length + 1)
        choices = parse_sizes(size)
        sizes = [choices[fold_in("shapes", "size", seed, i) % len(choices)] for i in range(length)]
        self.sizes = torch.tensor(sizes, dtype=torch.int64).reshape(-1, 2)
        settings = key_settings(self.settings)
        key = (drawing.VERSION, seed, length, choices, settings)
        self.fingerprint = hashlib.sha256(repr(key).encode()).hexdigest()
        self.files = DrawnFiles((drawing.VERSION, seed, choices, settings), int(self.sizes.prod(1).sum()))

    def __len__(self) -> int:
        return self.length

    def draw_scene(self, index: int) -> Scene:
        return drawing.draw_scene(self.seed, index, self.size_of(index), self.settings)

    def size_of(self, index: int) -> tuple[int, int]:
        if not 0 <= index < self.length:
            raise IndexError(f"image {index} of a shapes dataset with {self.length} images")
        height, width = self.sizes[index].tolist()
        return height, width

    def __getitem__(self, index: int) -> Sample:
        size = self.size_of(index)
        return to_sample(self.files.get(index, size, partial(self._draw, index)), index + 1, size)

    def _draw(self, index: int) -> DrawnSample:
        scene = self.draw_scene(index)
        return to_drawn_sample(scene, self._to_labels(scene.labels))

    def _make_layout(self, index: int) -> Layout:
        return drawing.make_layout(self.seed, index, self.size_of(index), self.settings)

    def _to_labels(self, labels: np.ndarray) -> np.ndarray:
        """Convert positions in CLASSES to labels."""
        order = np.full(len(CLASSES), -1)
        order[list(self._labels)] = np.arange(len(self._labels))
        return order[labels]

    def ground_truth(self) -> dict[str, Any]:
        return self._coco | ({"panoptic": self._panoptic} if self.settings.stuff else {})

    def object_labels(self) -> ObjectLabels:
        return read_object_labels(self._coco, self.meta.category_ids)

    def find_defects(self, progress: Callable[[Sequence[Record]], Iterable[Record]]) -> Iterator[Defect]:
        """Return no defect: there are no files to check."""
        return iter(())

    @cached_property
    def _panoptic(self) -> dict[str, Any]:
        annotations = [
            make_panoptic_annotation(
                index + 1, self._make_layout(index), drawing.draw_materials(self.seed, index, self.size_of(index))
            )
            for index in range(self.length)
        ]
        things = [category | {"isthing": 1} for category in make_categories(self.meta.classes, self.meta.category_ids)]
        stuff = [{"id": CATEGORY + i, "name": name, "isthing": 0} for i, name in enumerate(STUFF, 1)]
        return {"images": self._coco["images"], "annotations": annotations, "categories": things + stuff}

    @cached_property
    def _coco(self) -> dict[str, Any]:
        annotations = [annotation for index in range(self.length) for annotation in self._annotations(index)]
        sizes = [(height, width) for height, width in self.sizes.tolist()]
        return make_coco_document(sizes, annotations, make_categories(self.meta.classes, self.meta.category_ids))

    def _annotations(self, index: int) -> list[dict[str, Any]]:
        return annotate_layout(self._make_layout(index), index + 1)


def key_settings(settings: SceneSettings) -> tuple[Any, ...]:
    """Return the fields that the fingerprint covers; fields added later are left out while they have their defaults."""
    fields, standard = tuple(settings), tuple(STANDARD)
    later = [n for n in (6, 8) if fields[n:] == standard[n:]]  # two fields were added together, then one
    return fields[: later[0]] if later else fields


def make_categories(classes: Sequence[str], ids: Sequence[int]) -> list[dict[str, Any]]:
    """Return COCO categories; the figure carries COCO's person keypoints."""
    body = {"keypoints": list(KEYPOINTS), "skeleton": [list(bone) for bone in SKELETON]}
    return [
        {"id": number, "name": name, "supercategory": "shape", **(body if name == "figure" else {})}
        for number, name in zip(ids, classes, strict=True)
    ]


def parse_sizes(size: int | Sequence[Any]) -> list[tuple[int, int]]:
    """Return a side, a (height, width) or a list of such pairs as a list of (height, width)."""
    sides: list[Any] = [size, size] if isinstance(size, int) else list(size)
    pairs: list[Any] = [sides] if len(sides) == 2 and all(isinstance(side, int) for side in sides) else sides
    if not all(isinstance(pair, Sequence) and len(pair) == 2 and min(pair) >= 32 for pair in pairs) or not pairs:
        raise ValueError(
            f"shapes: size={size} is neither (height, width) nor a list of such pairs, sides of 32 or more; "
            "for example dataset.size=[128,128] or dataset.size=[[96,128],[128,96]]"
        )
    return [(int(height), int(width)) for height, width in pairs]
