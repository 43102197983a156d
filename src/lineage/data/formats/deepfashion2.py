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
from lineage.data.annotations.sound import MAX_ID, are_coordinates
from lineage.data.annotations.validate import DatasetError
from lineage.data.formats.builder import RecordBuilder
from lineage.data.samples.image import ImageError, read_size

CLASSES = (
    "short sleeve top", "long sleeve top", "short sleeve outwear", "long sleeve outwear", "vest", "sling", "shorts",
    "trousers", "skirt", "short sleeve dress", "long sleeve dress", "vest dress", "sling dress",
)  # fmt: skip
LENGTHS = (25, 33, 31, 39, 15, 15, 10, 14, 8, 29, 37, 19, 19)
OFFSETS = tuple(accumulate((0, *LENGTHS[:-1])))
LANDMARKS = tuple(
    f"{name.replace(' ', '_')}_{i + 1}" for name, count in zip(CLASSES, LENGTHS, strict=True) for i in range(count)
)
DAMAGE = (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError)  # what wrong JSON raises
FIELDS = ("style", "scale", "occlusion", "zoom_in", "viewpoint")
HELP = """\
DeepFashion2 has a folder for each split:
    <root>/train/image/*.jpg          <root>/train/annos/*.json
    <root>/validation/image/*.jpg     <root>/validation/annos/*.json
A copy you have:  dataset=deepfashion2 dataset.root=<root>
The files need a registration:  lineage data prepare deepfashion2 <root>  says which and where to put them"""


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
    return open_dataset(paths, ("deepfashion2", "own slots"), partial(parse, folder, files), options)


def parse(folder: Path, files: Sequence[Path]) -> ParsedAnnotations:
    builder = RecordBuilder({i + 1: name for i, name in enumerate(CLASSES)})
    landmarks = {"keypoints": list(LANDMARKS), "skeleton": []}
    builder.categories = [category | landmarks for category in builder.categories]
    for position, file in enumerate(files, 1):
        name = f"{file.stem}.jpg"
        image_id = int(file.stem) if file.stem.isdigit() else position
        try:
            document = json.loads(file.read_bytes())
            items = [item for key, item in document.items() if key.startswith("item")]
            objects = [_parse_object(item, _read_number(document.get("pair_id", 0))) for item in items]
            size = read_size(folder / "image" / name)
        except (OSError, ImageError, *DAMAGE) as error:
            builder.add_unreadable_image(image_id, name, f"{file}: {type(error).__name__} {error}")
            continue
        builder.add_image(image_id, name, size)
        for category_id, corners, fields in objects:
            builder.add_object(category_id, corners, **fields)
    slots = {"keypoint_counts": LENGTHS, "keypoint_offsets": OFFSETS}
    return builder.finish(extra=("pair_id", *FIELDS), mirrored=create_flip_indices(), **slots)


def _parse_object(item: Mapping[str, Any], pair_id: int) -> tuple[int, tuple[float, ...], dict[str, Any]]:
    """Return the category id, the corners and the other fields of an object."""
    category, landmarks = int(item["category_id"]), list(item["landmarks"])
    if not 1 <= category <= len(CLASSES):
        raise ValueError(f"category_id {category}, known are 1 to {len(CLASSES)}")
    if len(landmarks) != 3 * LENGTHS[category - 1]:
        raise ValueError(f"{len(landmarks)} numbers for {LENGTHS[category - 1]} landmarks of {CLASSES[category - 1]}")
    corners = tuple(float(side) for side in item["bounding_box"])
    if len(corners) != 4:
        raise ValueError(f"bounding_box {item['bounding_box']} is not [x1, y1, x2, y2]")
    if not are_coordinates(landmarks):
        raise ValueError(f"landmarks of {CLASSES[category - 1]} are not all numbers of pixels")
    fields = {name: _read_number(item.get(name, 0)) for name in FIELDS}
    points = {"keypoints": landmarks, "first_keypoint": OFFSETS[category - 1], "pair_id": pair_id}
    mask = {"segmentation": item["segmentation"]} if item.get("segmentation") else {}
    return category, corners, {**points, **mask, **fields}


def _read_number(value: Any) -> int:
    """Return a whole number of a column. Raises ValueError for one of more than 63 bits."""
    if abs(number := int(value)) > MAX_ID:
        raise ValueError(f"{value!r:.40} is no number of DeepFashion2")
    return number
