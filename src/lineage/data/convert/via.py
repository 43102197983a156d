"""The layout of the VGG Image Annotator: via_region_data.json or .csv in the folder of the images, or a saved project.

Rectangles become boxes; polygons, polylines, circles and ellipses become masks. The class of a region is one of its
attributes; where regions have none, all are of the class `object`.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lineage.data.annotations.image_folder import ImageFolder
from lineage.data.convert.json_files import find_json, find_unparsed
from lineage.data.convert.labelled import (
    ConvertError,
    LabelledImage,
    LabelledObject,
    Reading,
    bound,
    ellipse,
)
from lineage.data.convert.split_names import find_split

CLASS_ATTRIBUTES = ("class", "label", "name", "type", "category", "object")
UNNAMED = "object"
COLUMNS = ("filename", "region_shape_attributes", "region_attributes")
Record = Mapping[str, Any]


def is_layout(folder: Path) -> bool:
    """Return whether a folder holds files of the annotator."""
    return next(find_files(folder), None) is not None


def find_files(folder: Path) -> Iterator[tuple[Path, list[Record]]]:
    """Yield each file of the annotator with its images."""
    for path, content in find_json(folder):
        records = content.get("_via_img_metadata", content) if isinstance(content, dict) else None
        images = list(records.values()) if isinstance(records, dict) else []
        if images and all(isinstance(record, dict) and {"filename", "regions"} <= record.keys() for record in images):
            yield path, images
    for path in sorted({*folder.glob("*.csv"), *folder.glob("*/*.csv")}):
        if images := read_csv(path):
            yield path, images


def read_csv(path: Path) -> list[Record]:
    """Return the images of a CSV export; none if it is another file."""
    images: dict[str, dict[str, Any]] = {}
    line = 1
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if not set(COLUMNS) <= set(reader.fieldnames or ()):
                return []
            for row in reader:
                line = reader.line_num
                if None in row.values():
                    raise ValueError("the row ends early")
                name, shape, attributes = (row[column] for column in COLUMNS)
                regions = images.setdefault(name, {"filename": name, "regions": []})["regions"]
                if shape and shape != "{}":
                    regions.append({
                        "shape_attributes": json.loads(shape), "region_attributes": json.loads(attributes or "{}"),
                    })  # fmt: skip
    except (OSError, ValueError, csv.Error) as error:
        raise ConvertError(f"{path}: line {line} is no row of the VGG Image Annotator ({error})") from error
    return list(images.values())


def read(folder: Path) -> Reading:
    """Read all files of the annotator below a folder."""
    reading = Reading()
    files = list(find_files(folder))
    for unparsed in find_unparsed(folder):  # it may be the annotator's
        reading.add_problem(unparsed.path, unparsed.reason)
    attribute = choose_attribute(
        [region for _, images in files for image in images for region in regions_of(image)], folder
    )
    for file, images in files:
        listing = ImageFolder(file.parent)
        split = find_split(file.relative_to(folder).parts)
        for record in images:
            name = str(record["filename"])
            match = name if listing.has(name) else getattr(listing.find(name), "name", None)
            match = match or getattr(listing.find(f"images/{name}"), "name", None)
            if match is None:
                reading.add_problem(file, f"the image {name!r} is not in {file.parent}")
            elif (size := reading.measure(file.parent / match)) is not None:
                objects = read_regions(record, attribute, size, f"{file}: {name}", reading)
                reading.images.append(LabelledImage(file.parent / match, size, objects, split))
    return reading


def read_regions(
    record: Record, attribute: str | None, size: tuple[int, int], place: str, reading: Reading
) -> list[LabelledObject]:
    objects: list[LabelledObject] = []
    for number, region in enumerate(regions_of(record), 1):
        here = f"{place}, region {number}"
        try:
            shape = region["shape_attributes"]
            attributes = region.get("region_attributes") or {}
            label = read_label(attributes.get(attribute)) if attribute else UNNAMED
            reading.add_object(objects, parse_region(shape, label), size, here)
        except KeyError as error:
            reading.add_problem(here, f"has no {error}")
        except (ValueError, TypeError, AttributeError) as error:
            reading.add_problem(here, str(error))
    return objects


def regions_of(record: Record) -> list[Record]:
    """Return the regions of an image: a list, in older versions a mapping of numbers."""
    regions = record.get("regions") or []
    items = list(regions.values()) if isinstance(regions, dict) else regions
    return [region for region in items if isinstance(region, dict)] if isinstance(items, list) else []


def choose_attribute(regions: Iterable[Record], folder: Path) -> str | None:
    """Return the attribute that names classes; None if regions have none. Raises ConvertError if it is unclear."""
    counts: Counter[str] = Counter()
    for region in regions:
        attributes = region.get("region_attributes")
        counts.update(name for name, value in attributes.items() if value) if isinstance(attributes, dict) else None
    if not counts:
        return None
    usual = [name for name in counts if name.lower() in CLASS_ATTRIBUTES]
    if len(counts) == 1 or len(usual) == 1:
        return usual[0] if usual else next(iter(counts))
    raise ConvertError(
        f"{folder}: which attribute of the regions is the class? They have {', '.join(counts)}. Call it `class` in the "
        "annotator's Region Attributes"
    )


def read_label(value: Any) -> str:
    """Return the class: a text, or the only box that is ticked."""
    if isinstance(value, dict):
        ticked = [name for name, is_ticked in value.items() if is_ticked]
        value = ticked[0] if len(ticked) == 1 else None
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"has no single class, but {value!r}")
    return value.strip()


def parse_region(shape: Mapping[str, Any], label: str) -> LabelledObject:
    """Return the object of a region. Raises ValueError for a shape without an area."""
    kind = shape["name"]
    if kind == "rect":
        x, y = float(shape["x"]), float(shape["y"])
        return LabelledObject(label, (x, y, x + float(shape["width"]), y + float(shape["height"])))
    if kind in ("polygon", "polyline"):
        xs, ys = shape["all_points_x"], shape["all_points_y"]
        if len(xs) != len(ys) or len(xs) < 3:
            raise ValueError(f"a {kind} of {len(xs)} x and {len(ys)} y; a mask has three points or more")
        polygon = [float(value) for point in zip(xs, ys, strict=True) for value in point]
    elif kind == "circle":
        polygon = ellipse(float(shape["cx"]), float(shape["cy"]), float(shape["r"]), float(shape["r"]))
    elif kind == "ellipse":
        cx, cy, rx, ry = (float(shape[name]) for name in ("cx", "cy", "rx", "ry"))
        polygon = ellipse(cx, cy, rx, ry, float(shape.get("theta", 0)))
    else:
        raise ValueError(f"a {kind} has no area")
    return LabelledObject(label, bound([polygon]), [polygon])
