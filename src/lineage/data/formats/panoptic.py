"""COCO's panoptic format (arXiv:1801.00868): a PNG whose colour names the segment of each pixel, and what each one is.

Things become instances; `Sample.semantic` labels every pixel with a stuff class, class 0 being all things together, as
Panoptic FPN (arXiv:1901.02446, section 3.1) trains it. The PNG is read with its image, so that the index stays small.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from pycocotools import mask as rle
from torchvision import tv_tensors as tv

from lineage.data.annotations import validate
from lineage.data.annotations.defects import Defect, Kind, Record, find, whole
from lineage.data.annotations.indexed_dataset import Annotated, Files, Read, annotated
from lineage.data.samples.dataset import ObjectLabels
from lineage.data.samples.image import ImageError
from lineage.data.samples.mask_crops import Crops
from lineage.data.samples.sample import Sample

UNLABELLED = 255
THINGS = 0  # the semantic class of all of them
SEGMENTS = Kind("image without segments", "add its record to `annotations`, or take the image out of `images`", "image")
MAP = Kind("panoptic PNG cannot be used", "fetch it again, or take its image out", "image")
NUMBERED = "Annotations need image_id, segments id and a category_id among `categories`, all whole numbers."
HELP = """\
COCO panoptic is COCO's images and, for each split, a JSON file and a folder of PNGs:
    <root>/annotations/panoptic_train2017.json    <root>/annotations/panoptic_train2017/*.png    <root>/train2017/*.jpg
    <root>/annotations/panoptic_val2017.json      <root>/annotations/panoptic_val2017/*.png      <root>/val2017/*.jpg
A copy you have:  dataset=coco_panoptic dataset.root=<root>
The files:        lineage data prepare coco_panoptic <root>"""


class Panoptic:
    """A dataset of things as instances and stuff as `Sample.semantic`; `meta.stuff` names its classes."""

    def __init__(self, things: Annotated, maps: Path, file: Path) -> None:
        self.things, self.maps, self.file = things, maps, file
        self.meta, self.fingerprint, self.ids, self.sizes = things.meta, things.fingerprint, things.ids, things.sizes
        self.part_lengths, self.source = things.part_lengths, things.source

    def __reduce__(self) -> tuple[Any, ...]:
        return Panoptic, (self.things, self.maps, self.file)

    def __len__(self) -> int:
        return len(self.things)

    def object_labels(self) -> ObjectLabels:
        return self.things.object_labels()

    def find_defects(self, progress: Callable[[Sequence[Record]], Iterable[Record]]) -> Iterator[Defect]:
        """Yield every defect of the records, the images and the PNGs, which must hold all segments of things."""
        yield from self.things.find_defects(progress)
        for position in range(len(self)):
            name = self.things.columns.names(position).decode(errors="surrogateescape")
            who = f"image {int(self.ids[position])} ({name})"
            try:
                there = np.unique(self.segments(position))
            except ImageError as error:
                yield Defect(MAP, who, str(error), position)
                continue
            absent = np.setdiff1d(self.things.columns.extra["segment"][self._rows(position)], there)
            if len(absent):
                yield Defect(MAP, who, f"no pixel of segment {', '.join(map(str, absent.tolist()))}", position)

    def path(self, position: int) -> Path:
        return self.things.path(position)

    def segments(self, position: int) -> NDArray[np.int64]:
        """[h, w] the segment id of each pixel; 0 where nothing is labelled. Raises ImageError."""
        name = self.things.columns.names(position).decode(errors="surrogateescape")
        path, size = self.maps / Path(name).with_suffix(".png").name, tuple(self.sizes[position].tolist())
        try:
            with Pillow.open(path) as file:
                colours = np.asarray(file.convert("RGB")).astype(np.int64)
        except (OSError, SyntaxError, ValueError) as error:
            raise ImageError(f"{path}: cannot be read ({error}); fetch it again or take its image out") from error
        if colours.shape[:2] != size:
            raise ImageError(f"{path}: has {colours.shape[:2]} pixels (height, width), its image {size}")
        return colours @ np.array([1, 256, 256**2])

    def __getitem__(self, position: int) -> Sample:
        sample, segments = self.things[position], self.segments(position)
        rows = self._rows(position)
        numbers = self.things.columns.extra["segment"][rows]
        inside = (segments == numbers[:, None, None]) & ~self.things.columns.crowd[rows][:, None, None]
        return sample._replace(
            masks=Crops.from_masks(torch.from_numpy(inside)),
            semantic=tv.Mask(torch.from_numpy(self.semantic(position, segments))),
        )

    def _rows(self, position: int) -> slice:
        return slice(self.things.columns.first[position], self.things.columns.first[position + 1])

    def semantic(self, position: int, segments: NDArray[np.int64]) -> NDArray[np.uint8]:
        """[h, w] stuff class of each pixel, 255 where nothing is labelled."""
        more, place = self.things.columns.more, self.things.columns.image_places[position]
        rows = slice(more["first"][place], more["first"][place + 1])
        known = dict(zip(more["segment"][rows].tolist(), more["stuff"][rows].tolist(), strict=True))
        ids, inverse = np.unique(segments, return_inverse=True)
        kinds = np.array([known.get(one, UNLABELLED) for one in ids.tolist()], np.uint8)
        return kinds[inverse.reshape(segments.shape)]

    def ground_truth(self) -> dict[str, Any]:
        """Things as COCO instances, masks from the PNGs; `panoptic` is the file's content and the PNGs' `folder`."""
        data, truth = self.things.columns, self.things.spelled()
        for position in range(len(self)):
            segments = self.segments(position)
            for row in range(data.first[position], data.first[position + 1]):
                code = rle.encode(np.asfortranarray(segments == data.extra["segment"][row], np.uint8))
                shape = {"size": list(code["size"]), "counts": code["counts"].decode()}
                truth["annotations"][row]["segmentation"] = shape
        content = document(self.file, HELP)
        ids = set(self.ids.tolist())
        kept = {name: [one for one in content[name] if one[key] in ids]
                for name, key in (("images", "id"), ("annotations", "image_id"))}  # fmt: skip
        truth["panoptic"] = {**kept, "categories": content["categories"], "folder": str(self.maps)}
        return truth


def load(
    *, annotations: str, images: str = "images", maps: str | None = None, root: str | None = None,
    skip_empty: bool = False, on_defect: str = "raise", split: str = "dataset.train",
) -> Panoptic:  # fmt: skip
    """Paths are inside `root`; `maps`, the folder of the PNGs, is by default named as the JSON file."""
    file = Path(root or "", annotations).expanduser()
    if root is None and not file.is_absolute():
        raise validate.DatasetError(f"dataset.root is not set, so there is no {annotations}.\n{HELP}")
    advice = f"Set {split}.annotations or dataset.root.\n{HELP}"
    validate.exists(file, advice)
    folder = Path(root or "", maps).expanduser() if maps else file.with_suffix("")
    if not folder.is_dir():
        raise validate.DatasetError(f"{folder}: no such folder of PNGs. Set {split}.maps.\n{HELP}")
    files = Files([file], Path(root or "", images).expanduser(), file, split)
    return Panoptic(annotated(files, ("panoptic",), partial(read, file, advice), skip_empty, on_defect), folder, file)


def document(file: Path, advice: str) -> dict[str, list[Record]]:
    content = validate.read(file, advice)
    if not all(isinstance(one.get("segments_info"), list) for one in content["annotations"]):
        raise validate.DatasetError(
            f"{file}: its annotations have no `segments_info`, so it is not panoptic; use dataset=coco for instances."
        )
    known = {one["id"] for one in content["categories"]}
    for place, note in enumerate(content["annotations"]):
        if not whole(note.get("image_id")):
            told = f"annotation {place} has the image_id {note.get('image_id')!r}"
            raise validate.DatasetError(f"{file}: {told}. {NUMBERED}")
        for one in note["segments_info"]:
            if not (isinstance(one, dict) and whole(one.get("id")) and one.get("category_id") in known):
                told = f"image {note['image_id']} has the segment {one!r:.120}"
                raise validate.DatasetError(f"{file}: {told}. {NUMBERED}")
    return content


def read(file: Path, advice: str) -> Read:
    content = document(file, advice)
    things = [one for one in content["categories"] if one.get("isthing", 1)]
    stuff = sorted((one for one in content["categories"] if not one.get("isthing", 1)), key=lambda one: one["id"])
    semantic = {one["id"]: label for label, one in enumerate(stuff, 1)}
    of_image = {one["image_id"]: one["segments_info"] for one in content["annotations"]}
    objects, columns = _objects(content["images"], of_image, {one["id"] for one in things}, semantic)
    made = {"images": content["images"], "annotations": objects, "categories": things}
    without = [
        Defect(SEGMENTS, f"image {one.get('id')} ({one.get('file_name')})", "no record in `annotations`", place)
        for place, one in enumerate(content["images"])
        if one.get("id") not in of_image
    ]
    told = {"stuff": [(one["id"], str(one.get("name", one["id"]))) for one in stuff]}
    return Read(made, [*without, *find(made)], told, ("segment",), columns)


def _objects(
    images: Sequence[Record], of_image: dict[Any, list[Record]], things: set[int], semantic: dict[int, int]
) -> tuple[list[Record], dict[str, NDArray[np.int64]]]:
    """The things as annotations, and of every segment its id and its semantic class."""
    objects: list[Record] = []
    rows: list[tuple[int, int]] = []
    first = [0]
    for image in images:
        for one in of_image.get(image.get("id"), []):
            if one["category_id"] in things:
                kept = {name: one.get(name) for name in ("category_id", "bbox", "area", "iscrowd")}
                objects.append({"id": len(objects) + 1, "image_id": image["id"], "segment": one["id"], **kept})
            rows.append((one["id"], semantic.get(one["category_id"], THINGS)))
        first.append(len(rows))
    found = np.array(rows, np.int64).reshape(-1, 2)
    return objects, {"first": np.array(first), "segment": found[:, 0], "stuff": found[:, 1]}
