"""Labelled images, as every reader of a layout gives them, and the log of what it could not read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lineage.data.annotations.image_folder import SUFFIXES
from lineage.data.samples.image import ImageError, read_size

Polygon = list[float]  # x1, y1, x2, y2, ... in pixels
Corners = tuple[float, float, float, float]  # x1, y1, x2, y2
Keypoint = tuple[float, float, int]  # x, y, visibility: 0 not labelled, 1 hidden, 2 visible
TOLERANCE = 2.0  # pixels that an object may reach outside its image; it is clipped
TURNS = 32  # points of a circle


class ConvertError(ValueError):
    """Error for a folder that cannot be converted at all; the message names the remedy."""


@dataclass(frozen=True, slots=True)
class LabelledObject:
    """One object. Without polygons or a mask it has a box alone."""

    label: str
    corners: Corners
    polygons: Sequence[Polygon] = ()
    rle: dict[str, Any] | None = None  # a mask that is no polygon
    keypoints: dict[str, Keypoint] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """One image file with its objects."""

    path: Path
    size: tuple[int, int]  # height, width, upright
    objects: Sequence[LabelledObject]
    split: str | None = None  # train, val or test, if the layout says so


@dataclass(slots=True)
class Reading:
    """The images of a folder, and what was left out of it."""

    images: list[LabelledImage] = field(default_factory=list)
    classes: Sequence[str] = ()  # in their order, if the layout has one
    keypoints: Sequence[str] = ()  # names in their order, if the layout has one
    problems: list[str] = field(default_factory=list)  # "labels/7.txt:3: ..."
    opened: set[Path] = field(default_factory=set)  # image files that an annotation file names, readable or not

    def add_problem(self, place: object, message: str) -> None:
        self.problems.append(f"{place}: {message}")

    def measure(self, path: Path) -> tuple[int, int] | None:
        """Return (height, width) of an image file; None, with a problem, if it cannot be read."""
        self.opened.add(path.resolve())
        try:
            return read_size(path)
        except (ImageError, OSError) as error:
            self.add_problem(path, str(error).removeprefix(f"{path}: "))
            return None

    def add_object(
        self, objects: list[LabelledObject], item: LabelledObject, size: Sequence[int], place: object
    ) -> None:
        """Append an object, clipped to its image; a problem if it lies outside or has no area."""
        height, width = size
        x1, y1, x2, y2 = item.corners
        values = [*item.corners, *(value for polygon in item.polygons for value in polygon)]
        if not all(math.isfinite(value) for value in values):
            self.add_problem(place, "a coordinate is no finite number")
        elif min(x1, y1) < -TOLERANCE or x2 > width + TOLERANCE or y2 > height + TOLERANCE:
            self.add_problem(place, f"reaches outside its image of {width} x {height}: {format_corners(item.corners)}")
        elif not (min(x2, width) > max(x1, 0) and min(y2, height) > max(y1, 0)):
            self.add_problem(place, f"has no area: {format_corners(item.corners)}")
        else:
            corners = (max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height)))
            polygons = [clip(polygon, size) for polygon in item.polygons]
            objects.append(LabelledObject(item.label, corners, polygons, item.rle, item.keypoints))


def find_images(folder: Path) -> list[Path]:
    """Return the image files below a folder, without hidden ones, in the order of their paths."""
    files = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    return sorted(path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def find_unmentioned(reading: Reading) -> list[Path]:
    """Return the images beside those of a reading that no annotation file names: labelled as empty, or not yet."""
    folders = sorted({image.path.resolve().parent for image in reading.images})
    files = [path for folder in folders for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES]
    return [path for path in files if not path.name.startswith(".") and path.resolve() not in reading.opened]


def bound(polygons: Sequence[Polygon]) -> Corners:
    """Return the corners of the box around polygons."""
    xs = [x for polygon in polygons for x in polygon[::2]]
    ys = [y for polygon in polygons for y in polygon[1::2]]
    return min(xs), min(ys), max(xs), max(ys)


def ellipse(cx: float, cy: float, rx: float, ry: float, angle: float = 0.0) -> Polygon:
    """Return an ellipse as a polygon; `angle` in radians."""
    polygon: Polygon = []
    for turn in range(TURNS):
        phase = 2 * math.pi * turn / TURNS
        x, y = rx * math.cos(phase), ry * math.sin(phase)
        polygon += [cx + x * math.cos(angle) - y * math.sin(angle), cy + x * math.sin(angle) + y * math.cos(angle)]
    return polygon


def clip(polygon: Polygon, size: Sequence[int]) -> Polygon:
    """Move the points of a polygon that lie outside an image of (height, width) to its border."""
    limits = (size[1], size[0])
    return [min(max(value, 0.0), float(limits[index % 2])) for index, value in enumerate(polygon)]


def format_corners(corners: Corners) -> str:
    return ", ".join(f"{value:g}" for value in corners)
