"""Cityscapes (arXiv:1604.01685): instances of eight classes in street scenes of 1024 x 2048 pixels.

gtFine stores a pixel's object in *_gtFine_instanceIds.png: labelId * 1000 + n, or the bare labelId in a group whose
objects are not separated (a crowd here). If these images are missing, the objects are drawn from
*_gtFine_polygons.json, in order, later ones over earlier ones, as the official script makes the images.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw

from lineage.data.annotations.build_index import ParsedAnnotations
from lineage.data.annotations.indexed_dataset import IndexedDataset
from lineage.data.annotations.open_dataset import ReadOptions, open_dataset
from lineage.data.annotations.paths import DatasetPaths, SidecarFiles
from lineage.data.annotations.validate import DatasetError
from lineage.data.formats.builder import RecordBuilder

THINGS = {"person": 24, "rider": 25, "car": 26, "truck": 27, "bus": 28, "train": 31, "motorcycle": 32, "bicycle": 33}
# Other labels of the polygons, all of which can cover a thing: name -> labelId.
OTHERS = {
    "unlabeled": 0, "ego vehicle": 1, "rectification border": 2, "out of roi": 3, "static": 4, "dynamic": 5,
    "ground": 6, "road": 7, "sidewalk": 8, "parking": 9, "rail track": 10, "building": 11, "wall": 12, "fence": 13,
    "guard rail": 14, "bridge": 15, "tunnel": 16, "pole": 17, "polegroup": 18, "traffic light": 19,
    "traffic sign": 20, "vegetation": 21, "terrain": 22, "sky": 23, "caravan": 29, "trailer": 30,
    "license plate": -1,
}  # fmt: skip
IDS, POLYGONS, IMAGE = "_gtFine_instanceIds.png", "_gtFine_polygons.json", "_leftImg8bit.png"
FIRST_INSTANCE = 1000  # ids below are bare label ids
LARGEST_SIDE = 20_000  # pixels of an image whose polygons are drawn
HELP = """\
Cityscapes has two folders:
    <root>/leftImg8bit/{train,val}/<city>/*_leftImg8bit.png
    <root>/gtFine/{train,val}/<city>/*_gtFine_instanceIds.png (or *_gtFine_polygons.json)
A copy you have:  dataset=cityscapes dataset.root=<root>
The files need a registration:  lineage data prepare cityscapes <root>  says which and where to put them"""


def load(
    *, image_set: str, root: str | None = None, classes: Mapping[str, int] | None = None, filter_empty: bool = False,
    on_defect: str = "raise", config_node: str = "dataset.train",
) -> IndexedDataset:  # fmt: skip
    """Open a split.

    image_set: train, val or test
    classes: name -> label id; by default the eight that are evaluated
    filter_empty, on_defect, config_node: see `ReadOptions`
    """
    options = ReadOptions(config_node, on_defect, filter_empty)
    if root is None:
        raise DatasetError(f"dataset.root is not set.\n{HELP}")
    base = Path(root).expanduser()
    truth, images = base / "gtFine" / image_set, base / "leftImg8bit" / image_set
    files = sorted(truth.glob(f"*/*{IDS}")) or sorted(truth.glob(f"*/*{POLYGONS}"))
    if not files:
        raise DatasetError(f"{truth}: holds no <city>/*{IDS} and no <city>/*{POLYGONS}.\n{HELP}")
    are_polygons = files[0].name.endswith(POLYGONS)
    things = dict(classes or THINGS)
    sidecars = {} if are_polygons else {"instance_ids": SidecarFiles(truth, IMAGE, IDS)}
    paths = DatasetPaths(files, images, truth, sidecars=sidecars)
    key = ("cityscapes", tuple(things.items()))
    return open_dataset(paths, key, partial(parse, truth, files, things, are_polygons), options)


def parse(truth: Path, files: Sequence[Path], things: Mapping[str, int], are_polygons: bool) -> ParsedAnnotations:
    builder = RecordBuilder({label: name for name, label in things.items()})
    labels = set(things.values())
    for image_id, file in enumerate(files, 1):
        name = str(file.relative_to(truth)).removesuffix(POLYGONS if are_polygons else IDS) + IMAGE
        try:
            ids = draw_instance_ids(json.loads(file.read_bytes()), things) if are_polygons else _read_ids(file)
        except (OSError, ValueError, SyntaxError, RecursionError) as error:
            builder.add_unreadable_image(image_id, name, f"{file}: {type(error).__name__} {error}")
            continue
        builder.add_image(image_id, name, ids.shape)
        for instance in np.flatnonzero(np.bincount(ids.ravel())).tolist():
            is_group = instance < FIRST_INSTANCE
            label = instance if is_group else instance // FIRST_INSTANCE
            if label in labels:
                builder.add_mask(label, ids == instance, iscrowd=int(is_group))
    return builder.finish()


def _read_ids(file: Path) -> np.ndarray:
    with Pillow.open(file) as image:
        if len(image.getbands()) > 1:
            raise ValueError(f"has channels {'/'.join(image.getbands())}, where instance ids have one of 16 bits")
        return np.asarray(image, np.int64)


def check_polygons(document: Any) -> None:
    """Raise ValueError if a polygons file lacks the fields of the format, or cannot be drawn."""
    if not isinstance(document, dict) or not isinstance(document.get("objects"), list):
        raise ValueError("holds no list `objects`")
    for side in ("imgWidth", "imgHeight"):
        if type(document.get(side)) is not int or not 0 < document[side] <= LARGEST_SIDE:
            raise ValueError(f"{side} is {document.get(side)!r:.40}, not a number of pixels up to {LARGEST_SIDE}")
    reach = 2 * max(document["imgWidth"], document["imgHeight"])
    for number, entry in enumerate(document["objects"]):
        if not isinstance(entry, dict) or not isinstance(entry.get("label"), str):
            raise ValueError(f"objects[{number}] has no label")
        polygon = entry.get("polygon")
        corners = polygon if isinstance(polygon, list) else []
        if len(corners) < 2 or not all(_is_corner(corner, reach) for corner in corners):
            raise ValueError(f"objects[{number}] ({entry['label']}): polygon is not a list of [x, y] near the image")


def _is_corner(corner: Any, reach: int) -> bool:
    """Return whether this is [x, y], in the image or not farther from it than it is large."""
    is_pair = isinstance(corner, list) and len(corner) == 2
    return is_pair and all(isinstance(number, int | float) and abs(number) <= reach for number in corner)


def draw_instance_ids(document: Mapping[str, Any], things: Mapping[str, int]) -> np.ndarray:
    """Return [h, w] int64 instance ids of a polygons file; objects of a class are numbered from 0."""
    check_polygons(document)
    canvas = Pillow.new("I", (document["imgWidth"], document["imgHeight"]))
    pencil = ImageDraw.Draw(canvas)
    counts: dict[str, int] = {}
    for entry in document["objects"]:
        # 1. Split "cargroup" into its class and the group; names such as "polegroup" are labels themselves.
        name = entry["label"]
        if entry.get("deleted"):
            continue
        is_group = name not in things and name not in OTHERS and name.endswith("group")
        name = name.removesuffix("group") if is_group else name
        # 2. The id: a bare label for groups and other labels, else with the object's number in its class.
        instance = OTHERS.get(name, 0)
        if name in things:
            instance = things[name] if is_group else things[name] * FIRST_INSTANCE + counts.get(name, 0)
            counts[name] = counts.get(name, 0) + (not is_group)
        # 3. Draw over earlier objects; the plate of a car stays the car's.
        if instance >= 0:
            pencil.polygon([tuple(corner) for corner in entry["polygon"]], fill=instance)
    return np.asarray(canvas, np.int64)
