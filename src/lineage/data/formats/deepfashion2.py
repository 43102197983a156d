"""DeepFashion2 (arXiv:1901.07973): 13 classes of clothes, a mask each, and 294 landmarks of which a class has its own.

Landmarks of all classes stand in one row, as in the official converter to COCO: class c owns `LENGTHS[c]` of them from
`OFFSETS[c]` on. An object's area is that of its box, which the official evaluation uses, not that of its mask.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

from lineage.data.annotations import validate
from lineage.data.annotations.indexed_dataset import Annotated, Files, Read, annotated
from lineage.data.formats.builder import Records, extent

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


def swaps(category: int) -> dict[int, int]:
    """Left to right, counted from 1 within one class (0..12); outlines run once around, so mirroring reverses them."""
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


def flip_indices() -> tuple[int, ...]:
    """Return the index of the landmark that each becomes in a mirrored image."""
    of_class = ((offset, count, swaps(c)) for c, (offset, count) in enumerate(zip(OFFSETS, LENGTHS, strict=True)))
    return tuple(offset + swap.get(i, i) - 1 for offset, count, swap in of_class for i in range(1, count + 1))


def load(
    *, part: str, root: str | None = None, skip_empty: bool = False, on_defect: str = "raise",
    split: str = "dataset.train",
) -> Annotated:  # fmt: skip
    """`part` is train or validation."""
    if root is None:
        raise validate.DatasetError(f"dataset.root is not set.\n{HELP}")
    base = Path(root).expanduser() / part
    files = sorted((base / "annos").glob("*.json"))
    if not files:
        raise validate.DatasetError(f"{base / 'annos'}: holds no *.json.\n{HELP}")
    named = Files(files, base / "image", base, split)
    return annotated(named, ("deepfashion2",), partial(read, base, files), skip_empty, on_defect)


def read(base: Path, files: Sequence[Path]) -> Read:
    records = Records({i + 1: name for i, name in enumerate(CLASSES)})
    records.categories = [{**one, "keypoints": list(LANDMARKS), "skeleton": []} for one in records.categories]
    for place, file in enumerate(files, 1):
        name, number = f"{file.stem}.jpg", int(file.stem) if file.stem.isdigit() else place
        try:
            document = json.loads(file.read_bytes())
            items = [one for key, one in document.items() if key.startswith("item")]
            objects = [_object(one, int(document.get("pair_id", 0))) for one in items]
            size = extent(base / "image" / name)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            records.unusable(number, name, f"{file}: {type(error).__name__} {error}")
            continue
        records.image(number, name, size)
        for category, corners, fields in objects:
            records.add(category, corners, **fields)
    return records.finish(extra=("pair_id", *FIELDS), mirrored=flip_indices())


def _object(item: Mapping[str, Any], pair: int) -> tuple[int, tuple[float, ...], dict[str, Any]]:
    category, landmarks = int(item["category_id"]), list(item["landmarks"])
    if not 1 <= category <= len(CLASSES):
        raise ValueError(f"category_id {category}, known are 1 to {len(CLASSES)}")
    if len(landmarks) != 3 * LENGTHS[category - 1]:
        raise ValueError(f"{len(landmarks)} numbers for {LENGTHS[category - 1]} landmarks of {CLASSES[category - 1]}")
    corners = tuple(float(side) for side in item["bounding_box"])
    if len(corners) != 4:
        raise ValueError(f"bounding_box {item['bounding_box']} is not [x1, y1, x2, y2]")
    fields = {name: int(item.get(name, 0)) for name in FIELDS}
    offset = OFFSETS[category - 1]
    shape = {"segmentation": item["segmentation"]} if item.get("segmentation") else {}
    return category, corners, {"keypoints": landmarks, "first_keypoint": offset, "pair_id": pair, **shape, **fields}
