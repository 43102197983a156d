"""Cityscapes (arXiv:1604.01685): instances of eight classes in street scenes of 1024 x 2048 pixels.

gtFine names a pixel's object in *_gtFine_instanceIds.png: labelId * 1000 + n, or the bare labelId in a group that
nobody told apart (a crowd here). Where these images are missing, the objects are drawn from *_gtFine_polygons.json, in
order, later ones over earlier ones, as the official script makes the images.
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

from lineage.data.annotations import validate
from lineage.data.annotations.indexed_dataset import Annotated, Beside, Files, Read, annotated
from lineage.data.formats.builder import Records

THINGS = {"person": 24, "rider": 25, "car": 26, "truck": 27, "bus": 28, "train": 31, "motorcycle": 32, "bicycle": 33}
# What else is labelled in the polygons, all of it able to cover a thing: name -> labelId.
OTHERS = {
    "unlabeled": 0, "ego vehicle": 1, "rectification border": 2, "out of roi": 3, "static": 4, "dynamic": 5,
    "ground": 6, "road": 7, "sidewalk": 8, "parking": 9, "rail track": 10, "building": 11, "wall": 12, "fence": 13,
    "guard rail": 14, "bridge": 15, "tunnel": 16, "pole": 17, "polegroup": 18, "traffic light": 19,
    "traffic sign": 20, "vegetation": 21, "terrain": 22, "sky": 23, "caravan": 29, "trailer": 30,
    "license plate": -1,
}  # fmt: skip
IDS, POLYGONS, IMAGE = "_gtFine_instanceIds.png", "_gtFine_polygons.json", "_leftImg8bit.png"
GROUP = 1000  # ids below are bare label ids
HELP = """\
Cityscapes has two folders:
    <root>/leftImg8bit/{train,val}/<city>/*_leftImg8bit.png
    <root>/gtFine/{train,val}/<city>/*_gtFine_instanceIds.png (or *_gtFine_polygons.json)
A copy you have:  dataset=cityscapes dataset.root=<root>
The files need a registration:  lineage data prepare cityscapes <root>  says which and where to put them"""


def load(
    *, part: str, root: str | None = None, classes: Mapping[str, int] | None = None, skip_empty: bool = False,
    on_defect: str = "raise", split: str = "dataset.train",
) -> Annotated:  # fmt: skip
    """`part` is train, val or test; `classes` are names and label ids, by default the eight that are evaluated."""
    if root is None:
        raise validate.DatasetError(f"dataset.root is not set.\n{HELP}")
    base = Path(root).expanduser()
    truth, folder = base / "gtFine" / part, base / "leftImg8bit" / part
    files = sorted(truth.glob(f"*/*{IDS}")) or sorted(truth.glob(f"*/*{POLYGONS}"))
    if not files:
        raise validate.DatasetError(f"{truth}: holds no <city>/*{IDS} and no <city>/*{POLYGONS}.\n{HELP}")
    drawn = files[0].name.endswith(POLYGONS)
    things = dict(classes or THINGS)
    beside = {} if drawn else {"instance_ids": Beside(truth, IMAGE, IDS)}
    named = Files(files, folder, truth, split, beside=beside)
    options = ("cityscapes", tuple(things.items()))
    return annotated(named, options, partial(read, truth, files, things, drawn), skip_empty, on_defect)


def read(truth: Path, files: Sequence[Path], things: Mapping[str, int], drawn: bool) -> Read:
    records = Records({label: name for name, label in things.items()})
    labels = set(things.values())
    for number, file in enumerate(files, 1):
        name = str(file.relative_to(truth)).removesuffix(POLYGONS if drawn else IDS) + IMAGE
        try:
            ids = numbered(json.loads(file.read_bytes()), things) if drawn else _opened(file)
        except (OSError, ValueError, KeyError, TypeError, SyntaxError) as error:
            records.unusable(number, name, f"{file}: {type(error).__name__} {error}")
            continue
        records.image(number, name, ids.shape)
        for one in np.flatnonzero(np.bincount(ids.ravel())).tolist():
            label = one // GROUP if one >= GROUP else one
            if label in labels:
                records.mask(label, ids == one, iscrowd=int(one < GROUP))
    return records.finish()


def _opened(file: Path) -> np.ndarray:
    with Pillow.open(file) as image:
        if len(image.getbands()) > 1:
            raise ValueError(f"has channels {'/'.join(image.getbands())}, where instance ids have one of 16 bits")
        return np.asarray(image, np.int64)


def numbered(document: Mapping[str, Any], things: Mapping[str, int]) -> np.ndarray:
    """[h, w] int64 instance ids of a polygons file; an object's number counts its class from 0."""
    canvas = Pillow.new("I", (document["imgWidth"], document["imgHeight"]))
    pencil = ImageDraw.Draw(canvas)
    count: dict[str, int] = {}
    for one in document["objects"]:
        name = one["label"]
        if one.get("deleted"):
            continue
        group = name not in things and name not in OTHERS and name.endswith("group")
        name = name.removesuffix("group") if group else name
        number = OTHERS.get(name, 0)
        if name in things:
            number = things[name] if group else things[name] * GROUP + count.get(name, 0)
            count[name] = count.get(name, 0) + (not group)
        if number >= 0:  # the plate of a car stays the car's
            pencil.polygon([tuple(corner) for corner in one["polygon"]], fill=number)
    return np.asarray(canvas, np.int64)
