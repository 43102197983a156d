"""YOLO's layout: a text file per image, a line per object, coordinates as shares of the image's width and height.

    class x y width height                      a box, by its centre
    class x1 y1 x2 y2 x3 y3 ...                 a polygon
    class x y width height x1 y1 [v1] x2 ...    a box with keypoints, where data.yaml has `kpt_shape`

Labels lie in labels/ where images lie in images/, or beside the images. Names of classes are in data.yaml, or one per
line in classes.txt or obj.names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lineage.data.convert.labelled import (
    ConvertError,
    Keypoint,
    LabelledImage,
    LabelledObject,
    Reading,
    bound,
    find_images,
)
from lineage.data.convert.split_names import find_split

MOST_KEYPOINTS = 10_000
NAME_FILES = ("classes.txt", "obj.names", "labels.txt", "_darknet.labels")


@dataclass(frozen=True, slots=True)
class Description:
    """The content of data.yaml, or of a list of names."""

    names: Sequence[str]
    keypoints: int = 0
    values_per_keypoint: int = 0  # 2, or 3 with visibility


def is_layout(folder: Path) -> bool:
    """Return whether a folder has a label file beside, or in labels/ for, one of its first images."""
    return any(label_file(path, folder).is_file() for path in find_images(folder)[:50])


def read(folder: Path) -> Reading:
    """Read all images below a folder; one without a label file has no objects."""
    description = read_description(folder)
    names = [f"keypoint{number}" for number in range(1, description.keypoints + 1)]
    reading = Reading(classes=description.names, keypoints=names)
    images = find_images(folder)
    for file in find_labels_without_image(folder, images):
        reading.add_problem(file, "there is no image of this name")
    for path in images:
        if (size := reading.measure(path)) is None:
            continue
        labels = label_file(path, folder)
        objects = list[LabelledObject]()
        for number, line in enumerate(read_lines(labels, reading), 1):
            if not line.strip():
                continue
            place = f"{labels}:{number}"
            try:
                reading.add_object(objects, parse_line(line, description, size), size, place)
            except (ValueError, OverflowError) as error:  # a flag of a keypoint that is infinite
                reading.add_problem(place, str(error))
        reading.images.append(LabelledImage(path, size, objects, find_split(path.relative_to(folder).parts[:-1])))
    return reading


def find_labels_without_image(folder: Path, images: Sequence[Path]) -> list[Path]:
    """Return the files with objects, in labels/ or where other images have theirs, whose image is missing."""
    expected = {label_file(path, folder) for path in images}
    places = {file.parent for file in expected if file.is_file()}
    others = sorted(
        file
        for file in folder.rglob("*.txt")
        if file not in expected
        and file.name not in NAME_FILES
        and (file.parent in places or "labels" in file.relative_to(folder).parts)
    )
    return [file for file in others if holds_object(file)]


def holds_object(file: Path) -> bool:
    """Return whether the first line of a file that is not blank has a class and four coordinates or more."""
    line = next((line for line in file.read_text(errors="replace").splitlines() if line.strip()), "")
    try:
        return len([float(text) for text in line.split()]) >= 5
    except ValueError:
        return False


def read_lines(file: Path, reading: Reading) -> list[str]:
    if not file.is_file():
        return []
    try:
        return file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reading.add_problem(file, f"is no text file ({error})")
        return []


def label_file(image: Path, root: Path) -> Path:
    """Return where the labels of an image are: `labels` for the last `images` of its path, else beside it."""
    parts = list(image.relative_to(root).parts)
    if "images" in parts[:-1]:
        parts[len(parts) - 2 - parts[-2::-1].index("images")] = "labels"
        return root.joinpath(*parts).with_suffix(".txt")
    beside = image.with_suffix(".txt")
    return beside if beside.is_file() else image.parent / "labels" / beside.name


def parse_line(line: str, description: Description, size: Sequence[int]) -> LabelledObject:
    """Return the object of a line. Raises ValueError with what is wrong."""
    try:
        values = [float(text) for text in line.split()]
    except ValueError:
        raise ValueError(f"holds something that is no number: {line.strip()[:60]!r}") from None
    index, coordinates = values[0], values[1:]
    if not (index.is_integer() and 0 <= index < len(description.names)):
        raise ValueError(f"class {index:g}, but the names are numbered from 0 to {len(description.names) - 1}")
    label, (height, width) = description.names[int(index)], size
    pixels = [value * (height if place % 2 else width) for place, value in enumerate(coordinates)]
    step = description.values_per_keypoint
    if len(coordinates) == 4 or (step and len(coordinates) == 4 + description.keypoints * step):
        x, y, box_width, box_height = pixels[:4]
        corners = (x - box_width / 2, y - box_height / 2, x + box_width / 2, y + box_height / 2)
        return LabelledObject(label, corners, keypoints=read_keypoints(coordinates[4:], step, size))
    if len(coordinates) >= 6 and len(coordinates) % 2 == 0:
        return LabelledObject(label, bound([pixels]), [pixels])
    raise ValueError(
        f"has {len(values)} numbers; a box has 5, a polygon of n points 1 + 2n"
        + (f", a box with its keypoints {5 + description.keypoints * step}" if step else "")
    )


def read_keypoints(coordinates: Sequence[float], step: int, size: Sequence[int]) -> dict[str, Keypoint]:
    height, width = size
    points: dict[str, Keypoint] = {}
    for number, start in enumerate(range(0, len(coordinates), step or 1), 1):
        x, y, *flag = coordinates[start : start + step]
        visibility = int(flag[0]) if flag else (2 if x or y else 0)
        points[f"keypoint{number}"] = (x * width, y * height, visibility)
    return points


def read_description(folder: Path) -> Description:
    """Return the names of classes. Raises ConvertError if no file has them."""
    for file in sorted({*folder.glob("*.yaml"), *folder.glob("*.yml")}):
        try:
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
            raise ConvertError(f"{file}: is no YAML ({str(error).splitlines()[0]})") from error
        if isinstance(content, dict) and content.get("names"):
            return parse_description(content, file)
    for name in NAME_FILES:
        for file in (folder / name, folder / "labels" / name, *sorted(folder.glob(f"*/{name}"))):
            if file.is_file():
                lines = [line.strip() for line in file.read_text(encoding="utf-8", errors="replace").splitlines()]
                return Description([line for line in lines if line])
    raise ConvertError(
        f"{folder}: no names of classes. Write them in {folder / 'classes.txt'}, one per line in the order of their "
        "numbers, or in data.yaml as names: [cat, dog]"
    )


def parse_description(content: Mapping[str, Any], file: Path) -> Description:
    names = content["names"]
    if isinstance(names, dict):
        if {*names} != {*range(len(names))}:
            raise ConvertError(
                f"{file}: names are numbered {sorted(names, key=str)[:5]}; they count from 0 without gaps"
            )
        names = [names[number] for number in range(len(names))]
    shape = content.get("kpt_shape") or [0, 0]
    is_shape = isinstance(shape, list) and len(shape) == 2 and all(isinstance(value, int) for value in shape)
    if not is_shape or not 0 <= shape[0] <= MOST_KEYPOINTS or shape[1] not in (0, 2, 3):
        raise ConvertError(f"{file}: kpt_shape is [keypoints, 2 or 3]")
    if not isinstance(names, list) or not all(isinstance(name, str | int | float) for name in names):
        raise ConvertError(f"{file}: names is a list of names")
    return Description([str(name) for name in names], *shape)
