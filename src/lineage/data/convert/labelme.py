"""labelme's layout: a JSON file per image, beside it.

Polygons, circles and painted masks become masks, rectangles boxes. Shapes with one label and one `group_id` are parts
of one object, and points with the `group_id` of a box or mask its keypoints, named by their labels.
"""

from __future__ import annotations

import base64
import binascii
import io
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow
from pycocotools import mask as rle

from lineage.data.annotations.image_folder import ImageFolder
from lineage.data.convert.json_files import Unparsed, find_json
from lineage.data.convert.labelled import (
    Corners,
    LabelledImage,
    LabelledObject,
    Polygon,
    Reading,
    bound,
    ellipse,
)
from lineage.data.convert.split_names import find_split

Shape = Mapping[str, Any]


def is_layout(folder: Path) -> bool:
    """Return whether a folder holds a file of labelme."""
    return any(is_file(content) for _, content in find_json(folder))


def is_file(content: Any) -> bool:
    return isinstance(content, dict) and isinstance(content.get("shapes"), list) and "imagePath" in content


def read(folder: Path) -> Reading:
    """Read all files of labelme below a folder."""
    reading, names = Reading(), dict[str, None]()
    for file, content in find_json(folder):
        if isinstance(content, Unparsed):
            reading.add_problem(file, content.reason)
        if not is_file(content):
            continue
        path = find_image(file, str(content["imagePath"]))
        if path is None:
            reading.add_problem(file, f"its image {content['imagePath']!r} is not beside it")
        elif (size := reading.measure(path)) is not None:
            objects = read_shapes(content["shapes"], size, file, reading)
            names |= dict.fromkeys(name for item in objects for name in item.keypoints)
            reading.images.append(LabelledImage(path, size, objects, find_split(file.relative_to(folder).parts[:-1])))
    reading.keypoints = list(names)
    return reading


def find_image(file: Path, stated: str) -> Path | None:
    """Return the image of a labelme file: the stated one, whatever folders its path has, else that of the same stem."""
    listing = ImageFolder(file.parent)
    for name in (stated.replace("\\", "/").rpartition("/")[2], file.stem):
        if match := listing.find(name):
            return file.parent / match.name
    return None


def read_shapes(shapes: Sequence[Any], size: tuple[int, int], file: Path, reading: Reading) -> list[LabelledObject]:
    """Return the objects of an image; its shapes without a group are one object each."""
    groups: dict[Any, list[tuple[int, Shape]]] = defaultdict(list)
    for number, shape in enumerate(shapes, 1):
        group = shape.get("group_id") if isinstance(shape, dict) else None
        if not isinstance(shape, dict) or not isinstance(shape.get("label"), str) or not shape["label"].strip():
            reading.add_problem(f"{file}, shape {number}", "has no label")
        else:
            groups[("alone", number) if group is None else ("group", str(group))].append((number, shape))
    objects: list[LabelledObject] = []
    for members in groups.values():
        place = f"{file}, shape {members[0][0]}"
        try:
            for item in join_shapes([shape for _, shape in members], size):
                reading.add_object(objects, item, size, place)
        except (ValueError, TypeError, KeyError, IndexError, OSError, binascii.Error) as error:
            reading.add_problem(place, str(error) or type(error).__name__)
    return objects


def join_shapes(shapes: Sequence[Shape], size: tuple[int, int]) -> Iterator[LabelledObject]:
    """Yield the object of each label in a group; keypoints belong to the only one."""
    points = [shape for shape in shapes if shape.get("shape_type") == "point"]
    areas: dict[str, list[Shape]] = defaultdict(list)
    for shape in shapes:
        if shape.get("shape_type") != "point":
            areas[shape["label"].strip()].append(shape)
    if points and len(areas) != 1:
        raise ValueError(f"the point {points[0]['label']!r} shares a group_id with {len(areas)} objects; give it one's")
    keypoints = {
        shape["label"].strip(): (float(shape["points"][0][0]), float(shape["points"][0][1]), 2) for shape in points
    }
    for label, parts in areas.items():
        polygons = [polygon for part in parts if (polygon := read_polygon(part)) is not None]
        boxes = [read_box(part) for part in parts]
        masks = [code for part in parts if (code := read_mask(part, size)) is not None]
        whole = rle.merge([*masks, *rle.frPyObjects(polygons, *size)] if polygons else masks) if masks else None
        code = None if whole is None else {"size": [*size], "counts": whole["counts"].decode()}
        corners = bound([[value for box in boxes for value in box]])
        yield LabelledObject(label, corners, () if masks else polygons, code, keypoints)


def read_numbers(shape: Shape) -> list[list[float]]:
    return [[float(x), float(y)] for x, y in shape["points"]]


def read_box(shape: Shape) -> Corners:
    return bound([read_polygon(shape) or [value for point in read_numbers(shape) for value in point]])


def read_polygon(shape: Shape) -> Polygon | None:
    """Return the polygon of a shape; None for rectangles and painted masks. Raises ValueError without an area."""
    kind = shape.get("shape_type") or "polygon"
    points = read_numbers(shape)
    if kind in ("rectangle", "mask"):
        if len(points) != 2:
            raise ValueError(f"a {kind} has {len(points)} points, not 2")
        return None
    if kind == "circle":
        (x, y), (x2, y2) = points
        return ellipse(x, y, math.hypot(x2 - x, y2 - y), math.hypot(x2 - x, y2 - y))
    if kind != "polygon" or len(points) < 3:
        raise ValueError(f"a {kind} of {len(points)} points has no area; draw a polygon of three points or more")
    return [value for point in points for value in point]


def read_mask(shape: Shape, size: tuple[int, int]) -> Any:
    """Return a painted mask as run lengths of the whole image; None for other shapes."""
    if shape.get("shape_type") != "mask":
        return None
    with Pillow.open(io.BytesIO(base64.b64decode(shape["mask"], validate=True))) as file:
        pixels = np.asarray(file.convert("L")) > 0
    left, top = (round(value) for value in read_numbers(shape)[0])
    height, width = pixels.shape
    if not (0 <= top <= size[0] - height and 0 <= left <= size[1] - width):
        raise ValueError(f"a mask of {width} x {height} pixels at {left}, {top} reaches outside its image")
    canvas = np.zeros(size, np.uint8, order="F")
    canvas[top : top + height, left : left + width] = pixels
    return rle.encode(canvas)
