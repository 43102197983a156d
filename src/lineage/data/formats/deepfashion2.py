"""DeepFashion2 (arXiv:1901.07973): 13 classes of clothes with masks, and 294 landmarks, each of one class.

Landmarks of all classes are in one list, as in the official converter to COCO: class c has `LENGTHS[c]` of them from
`OFFSETS[c]` on. An object's area is that of its box, which the official evaluation uses, not that of its mask.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

from lineage.data.annotations.build_index import ParsedAnnotations
from lineage.data.annotations.indexed_dataset import IndexedDataset
from lineage.data.annotations.open_dataset import ReadOptions, open_dataset
from lineage.data.annotations.paths import DatasetPaths
from lineage.data.annotations.sound import MAX_ID, VISIBILITIES, are_coordinates
from lineage.data.annotations.validate import DatasetError
from lineage.data.formats.builder import RecordBuilder
from lineage.data.samples.image import ImageError, Size, read_size

CLASSES = (
    "short sleeve top", "long sleeve top", "short sleeve outwear", "long sleeve outwear", "vest", "sling", "shorts",
    "trousers", "skirt", "short sleeve dress", "long sleeve dress", "vest dress", "sling dress",
)  # fmt: skip
LENGTHS = (25, 33, 31, 39, 15, 15, 10, 14, 8, 29, 37, 19, 19)
OFFSETS = tuple(accumulate((0, *LENGTHS[:-1])))
LANDMARKS = tuple(
    f"{name.replace(' ', '_')}_{i + 1}" for name, count in zip(CLASSES, LENGTHS, strict=True) for i in range(count)
)
FIELDS = ("style", "scale", "occlusion", "zoom_in", "viewpoint")
HELP = """\
DeepFashion2 has a folder for each split:
    <root>/train/image/*.jpg          <root>/train/annos/*.json
    <root>/validation/image/*.jpg     <root>/validation/annos/*.json
A copy you have:  dataset=deepfashion2 dataset.root=<root>
The files need a registration:  lineage data prepare deepfashion2 <root>  says which and where to put them"""


Parsed = tuple[int, tuple[float, ...], dict[str, Any]]  # category id, corners and other fields of an object


class _ItemError(ValueError):
    """A file that is not as DeepFashion2 has them; the message says in words what is wrong."""


def swaps(category: int) -> dict[int, int]:
    """Return left -> right, counted from 1 within a class (0..12). Outlines run once around, a mirror reverses them."""
    count = LENGTHS[category]
    if category in (2, 3):  # outwear: the open front has two edges
        front = {4: 26, 16: 29, 27: 30, 28: 31} if category == 2 else {4: 34, 20: 37, 35: 38, 36: 39}
        sides = 32 if category == 2 else 40
        pairs = {2: 6, 3: 5, **front, **{i: sides - i for i in range(7, sides // 2)}}
    elif category in (6, 7, 8):  # from the waist down: 1 to 3 are the waist
        pairs = {1: 3, **{i: count + 4 - i for i in range(4, (count + 5) // 2)}}
    else:  # 1 to 6 are the collar
        pairs = {2: 6, 3: 5, **{i: count + 7 - i for i in range(7, (count + 8) // 2)}}
    return pairs | {right: left for left, right in pairs.items()}


def create_flip_indices() -> tuple[int, ...]:
    """Return the index of the landmark that each becomes in a mirrored image."""
    by_class = ((offset, count, swaps(c)) for c, (offset, count) in enumerate(zip(OFFSETS, LENGTHS, strict=True)))
    return tuple(offset + swap.get(i, i) - 1 for offset, count, swap in by_class for i in range(1, count + 1))


def load(
    *, image_set: str, root: str | None = None, filter_empty: bool = False, on_defect: str = "raise",
    config_node: str = "dataset.train",
) -> IndexedDataset:  # fmt: skip
    """Open a split.

    image_set: train or validation
    filter_empty, on_defect, config_node: see `ReadOptions`
    """
    options = ReadOptions(config_node, on_defect, filter_empty)
    if root is None:
        raise DatasetError(f"dataset.root is not set.\n{HELP}")
    folder = Path(root).expanduser() / image_set
    files = sorted((folder / "annos").glob("*.json"))
    if not files:
        raise DatasetError(f"{folder / 'annos'}: holds no *.json.\n{HELP}")
    paths = DatasetPaths(files, folder / "image", folder)
    key = "deepfashion2", "own slots", "checked landmarks"  # of the index: one of unchecked landmarks is not used
    return open_dataset(paths, key, partial(parse, folder, files), options)


def parse(folder: Path, files: Sequence[Path]) -> ParsedAnnotations:
    builder = RecordBuilder({i + 1: name for i, name in enumerate(CLASSES)})
    landmarks = {"keypoints": list(LANDMARKS), "skeleton": []}
    builder.categories = [category | landmarks for category in builder.categories]
    for position, file in enumerate(files, 1):
        name = f"{file.stem}.jpg"
        image_id = int(file.stem) if file.stem.isdigit() else position
        try:
            objects = _parse_objects(_read_document(file))
            size = read_size(folder / "image" / name)
            _check_landmarks(objects, size)
        except (ImageError, _ItemError) as error:
            builder.add_unreadable_image(image_id, name, f"{file}: {error}")
            continue
        builder.add_image(image_id, name, size)
        for category_id, corners, fields in objects:
            builder.add_object(category_id, corners, **fields)
    slots = {"keypoint_counts": LENGTHS, "keypoint_offsets": OFFSETS}
    return builder.finish(extra=("pair_id", *FIELDS), mirrored=create_flip_indices(), **slots)


def _read_document(file: Path) -> Mapping[str, Any]:
    """Return the content of a file. Raises _ItemError if it is no JSON object."""
    try:
        document = json.loads(file.read_bytes())
    except OSError as error:
        raise _ItemError(f"cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:  # text that is cut off, too deep, or of another encoding
        raise _ItemError("is not JSON, or cut off: fetch it again") from error
    if not isinstance(document, dict):
        raise _ItemError(f"the file holds {_describe(document)}, not an object of items: item1, item2, ...")
    return document


def _parse_objects(document: Mapping[str, Any]) -> list[Parsed]:
    """Return the objects of a file. Raises _ItemError, which names the item and its field."""
    pair_id = _read_number("pair_id", document.get("pair_id", 0))
    objects = []
    for key, item in document.items():
        if key.startswith("item"):
            try:
                objects.append(_parse_object(item, pair_id))
            except _ItemError as error:
                raise _ItemError(f"{key}: {error}") from error
    return objects


def _parse_object(item: Any, pair_id: int) -> Parsed:
    """Return the category id, the corners and the other fields of an object."""
    if not isinstance(item, dict):
        raise _ItemError(f"expected an object with category_id, bounding_box and landmarks, found {_describe(item)}")
    if absent := [name for name in ("category_id", "bounding_box", "landmarks") if name not in item]:
        raise _ItemError(f"has no {' and no '.join(absent)}")
    category = _read_number("category_id", item["category_id"])
    if not 1 <= category <= len(CLASSES):
        raise _ItemError(f"category_id {category}, known are 1 to {len(CLASSES)}")
    first, landmarks = OFFSETS[category - 1], _read_landmarks(item["landmarks"], category)
    fields = {name: _read_number(name, item.get(name, 0)) for name in FIELDS}
    points = {"keypoints": landmarks, "first_keypoint": first, "pair_id": pair_id}
    mask = {"segmentation": item["segmentation"]} if item.get("segmentation") else {}
    return category, _read_corners(item["bounding_box"]), {**points, **mask, **fields}


def _read_landmarks(landmarks: Any, category: int) -> list[Any]:
    """Return (x, y, visibility) of the landmarks of a category, one after the other."""
    name, count = CLASSES[category - 1], LENGTHS[category - 1]
    if not isinstance(landmarks, list) or len(landmarks) != 3 * count:
        value = f"{len(landmarks)} numbers" if isinstance(landmarks, list) else _describe(landmarks)
        raise _ItemError(f"landmarks of {name}: expected {3 * count} numbers for {count} landmarks, found {value}")
    if not are_coordinates(landmarks):
        raise _ItemError(f"landmarks of {name} are not all numbers of pixels")
    if wrong := [number for number, flag in enumerate(landmarks[2::3], 1) if flag not in VISIBILITIES]:
        flag = landmarks[3 * wrong[0] - 1]
        raise _ItemError(
            f"landmarks of {name}: number {wrong[0]} has visibility {flag}; it is 0 (absent), 1 (hidden) or 2 (visible)"
        )
    return landmarks


def _check_landmarks(objects: Sequence[Parsed], size: Size) -> None:
    """Raise _ItemError for a landmark farther from its image than the image is large, as polygons are checked."""
    reach = max(size)
    for category, _, fields in objects:
        points = fields["keypoints"]
        if -reach <= min(points) and max(points) <= 2 * reach:  # of nearly all; visibilities change nothing
            continue
        for number, (x, y) in enumerate(zip(points[::3], points[1::3], strict=True), 1):
            if min(x, y) < -reach or max(x, y) > 2 * reach:
                raise _ItemError(
                    f"landmarks of {CLASSES[category - 1]}: number {number} is at ({x:g}, {y:g}) in an image of "
                    f"{size[1]} x {size[0]} (width x height)"
                )


def _read_corners(box: Any) -> tuple[float, ...]:
    """Return (x1, y1, x2, y2)."""
    try:
        corners = tuple(float(side) for side in box)
    except (TypeError, ValueError, OverflowError):
        corners = ()
    if isinstance(box, str) or len(corners) != 4:
        raise _ItemError(f"bounding_box {box!r:.80} is not [x1, y1, x2, y2] in pixels")
    return corners


def _read_number(name: str, value: Any) -> int:
    """Return a whole number of a column. Raises _ItemError for one of more than 63 bits."""
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise _ItemError(f"{name}: expected a whole number, found {_describe(value)}") from error
    if abs(number) > MAX_ID:
        raise _ItemError(f"{name}: {value!r:.40} is too large a number")
    return number


def _describe(value: Any) -> str:
    """Return a value of JSON in words."""
    if isinstance(value, str):
        return f"the text {value!r:.40}"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    return f"the number {value!r:.40}"
