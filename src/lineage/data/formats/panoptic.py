"""COCO's panoptic format (arXiv:1801.00868): a PNG whose colour is the segment of each pixel, and a list of segments.

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

from lineage.data.annotations.build_index import ParsedAnnotations
from lineage.data.annotations.defects import Defect, DefectKind, Record, find_defects, is_id
from lineage.data.annotations.indexed_dataset import IndexedDataset
from lineage.data.annotations.open_dataset import ReadOptions, open_dataset
from lineage.data.annotations.paths import DatasetPaths
from lineage.data.annotations.validate import DatasetError, read_coco, require_file
from lineage.data.formats.coco import find_annotation_file
from lineage.data.samples.dataset import ObjectLabels
from lineage.data.samples.image import ImageError
from lineage.data.samples.mask_crops import MaskCrops
from lineage.data.samples.sample import Sample
from lineage.structures import UNLABELLED

THINGS = 0  # the semantic class of all of them
MISSING_SEGMENTS = DefectKind(
    "image without segments", "add its record to `annotations`, or take the image out of `images`", "image"
)
UNUSABLE_MAP = DefectKind("panoptic PNG cannot be used", "fetch it again, or take its image out", "image")
IDS = "Annotations need image_id, segments id and a category_id among `categories`, all whole numbers."
HELP = """\
COCO panoptic is COCO's images and, for each split, a JSON file and a folder of PNGs:
    <root>/annotations/panoptic_train2017.json    <root>/annotations/panoptic_train2017/*.png    <root>/train2017/*.jpg
    <root>/annotations/panoptic_val2017.json      <root>/annotations/panoptic_val2017/*.png      <root>/val2017/*.jpg
A copy you have:  dataset=coco_panoptic dataset.root=<root>
The files:        lineage data prepare coco_panoptic <root>"""


class PanopticDataset:
    """A dataset of things as instances and stuff as `Sample.semantic`; `meta.stuff` names its classes."""

    def __init__(self, things: IndexedDataset, maps: Path, file: Path) -> None:
        """`maps` is the folder of the PNGs, `file` the JSON file."""
        self.things, self.maps, self.file = things, maps, file
        self.meta, self.fingerprint, self.ids, self.sizes = things.meta, things.fingerprint, things.ids, things.sizes
        self.part_lengths, self.source = things.part_lengths, things.source

    def __reduce__(self) -> tuple[Any, ...]:
        return PanopticDataset, (self.things, self.maps, self.file)

    def __len__(self) -> int:
        return len(self.things)

    def path(self, position: int) -> Path:
        return self.things.path(position)

    def __getitem__(self, position: int) -> Sample:
        sample = self.things[position]
        segments = self.read_segments(position)
        columns, rows = self.things.columns, self._rows(position)
        numbers = columns.extra["segment"][rows]
        masks = (segments == numbers[:, None, None]) & ~columns.crowd[rows][:, None, None]
        return sample._replace(
            masks=MaskCrops.from_masks(torch.from_numpy(masks)),
            semantic=tv.Mask(torch.from_numpy(self.label_stuff(position, segments))),
        )

    def read_segments(self, position: int) -> NDArray[np.int64]:
        """Return [h, w] the segment id of each pixel; 0 is unlabelled. Raise ImageError."""
        name = self.things.columns.file_name(position)
        size = tuple(self.sizes[position].tolist())
        if not self._has_segments():
            return np.zeros(size, np.int64)
        path = self.maps / Path(name).with_suffix(".png").name
        try:
            with Pillow.open(path) as file:
                colours = np.asarray(file.convert("RGB")).astype(np.int64)
        except (OSError, SyntaxError, ValueError) as error:
            raise ImageError(f"{path}: cannot be read ({error}); fetch it again or take its image out") from error
        if colours.shape[:2] != size:
            raise ImageError(f"{path}: has {colours.shape[:2]} pixels (height, width), its image {size}")
        return colours @ np.array([1, 256, 256**2])

    def label_stuff(self, position: int, segments: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return [h, w] the stuff class of each pixel, 255 if it is unlabelled."""
        columns = self.things.columns
        table, image = columns.file_columns, columns.image_positions[position]
        rows = slice(table["first"][image], table["first"][image + 1])
        stuff = dict(zip(table["segment"][rows].tolist(), table["stuff"][rows].tolist(), strict=True))
        ids, inverse = np.unique(segments, return_inverse=True)
        labels = np.array([stuff.get(segment, UNLABELLED) for segment in ids.tolist()], np.uint8)
        return labels[inverse.reshape(segments.shape)]

    def _has_segments(self) -> bool:
        """Return False for a split of a test server, which has no segments and no PNGs."""
        return len(self.things.columns.file_columns["segment"]) > 0

    def _rows(self, position: int) -> slice:
        rows = self.things.columns.rows(position)
        return slice(rows.start, rows.stop)

    def object_labels(self) -> ObjectLabels:
        return self.things.object_labels()

    def find_defects(self, progress: Callable[[Sequence[Record]], Iterable[Record]]) -> Iterator[Defect]:
        """Yield every defect of the records, the images and the PNGs, which must hold all segments of things."""
        yield from self.things.find_defects(progress)
        columns = self.things.columns
        for position in range(len(self)):
            record = f"image {int(self.ids[position])} ({columns.file_name(position)})"
            try:
                present = np.unique(self.read_segments(position))
            except ImageError as error:
                yield Defect(UNUSABLE_MAP, record, str(error), position)
                continue
            absent = np.setdiff1d(columns.extra["segment"][self._rows(position)], present)
            if len(absent):
                segments = ", ".join(map(str, absent.tolist()))
                yield Defect(UNUSABLE_MAP, record, f"no pixel of segment {segments}", position)

    def ground_truth(self) -> dict[str, Any]:
        """Return things as COCO instances, masks from the PNGs, and under `panoptic` the file and the PNGs' folder."""
        columns, truth = self.things.columns, self.things.to_coco_dict()
        for position in range(len(self)):
            segments = self.read_segments(position)
            for row in columns.rows(position):
                code = rle.encode(np.asfortranarray(segments == columns.extra["segment"][row], np.uint8))
                segmentation = {"size": list(code["size"]), "counts": code["counts"].decode()}
                truth["annotations"][row]["segmentation"] = segmentation
        content = read_panoptic(self.file, HELP, require_objects=False)
        ids = set(self.ids.tolist())
        truth["panoptic"] = {
            "images": [image for image in content["images"] if image["id"] in ids],
            "annotations": [annotation for annotation in content["annotations"] if annotation["image_id"] in ids],
            "categories": content["categories"],
            "folder": str(self.maps),
        }
        return truth


def load(
    *, annotations: str, images: str = "images", maps: str | None = None, root: str | None = None,
    filter_empty: bool = False, on_defect: str = "raise", config_node: str = "dataset.train",
) -> PanopticDataset:  # fmt: skip
    """Open a panoptic file.

    annotations, images: paths inside `root`, or absolute
    maps: the folder of the PNGs, by default named as the JSON file
    filter_empty, on_defect, config_node: see `ReadOptions`
    """
    options = ReadOptions(config_node, on_defect, filter_empty)
    file = find_annotation_file(annotations, root, HELP)
    advice = f"Set {config_node}.annotations or dataset.root.\n{HELP}"
    require_file(file, advice)
    folder = Path(root or "", maps).expanduser() if maps else file.with_suffix("")
    if not folder.is_dir() and (options.require_objects or read_panoptic(file, advice, False)["annotations"]):
        raise DatasetError(f"{folder}: no such folder of PNGs. Set {config_node}.maps.\n{HELP}")
    paths = DatasetPaths([file], Path(root or "", images).expanduser(), file)
    things = open_dataset(paths, ("panoptic",), partial(parse, file, advice, options.require_objects), options)
    return PanopticDataset(things, folder, file)


def read_panoptic(file: Path, advice: str, require_objects: bool = True) -> dict[str, list[Record]]:
    """Read a panoptic JSON file; raise DatasetError if it is not one. `require_objects`: see `read_coco`."""
    content = read_coco(file, advice, require_objects=require_objects)
    if not all(isinstance(annotation.get("segments_info"), list) for annotation in content["annotations"]):
        raise DatasetError(
            f"{file}: its annotations have no `segments_info`, so it is not panoptic; use dataset=coco for instances."
        )
    category_ids = {category["id"] for category in content["categories"]}
    for position, annotation in enumerate(content["annotations"]):
        if not is_id(annotation.get("image_id")):
            problem = f"annotation {position} has the image_id {annotation.get('image_id')!r}"
            raise DatasetError(f"{file}: {problem}. {IDS}")
        for segment in annotation["segments_info"]:
            is_dict = isinstance(segment, dict)
            if not (is_dict and is_id(segment.get("id")) and segment.get("category_id") in category_ids):
                problem = f"image {annotation['image_id']} has the segment {segment!r:.120}"
                raise DatasetError(f"{file}: {problem}. {IDS}")
    return content


def parse(file: Path, advice: str, require_objects: bool = True) -> ParsedAnnotations:
    # 1. Categories: things by their own ids, stuff numbered from 1 in the order of the ids.
    content = read_panoptic(file, advice, require_objects)
    things = [category for category in content["categories"] if category.get("isthing", 1)]
    stuff = [category for category in content["categories"] if not category.get("isthing", 1)]
    stuff = sorted(stuff, key=lambda category: category["id"])
    stuff_labels = {category["id"]: label for label, category in enumerate(stuff, 1)}
    # 2. Segments: things as objects, all of them in columns by image.
    segments = {annotation["image_id"]: annotation["segments_info"] for annotation in content["annotations"]}
    thing_ids = {category["id"] for category in things}
    objects, columns = _split_segments(content["images"], segments, thing_ids, stuff_labels)
    # 3. Defects of the objects, and images without a record.
    instances = {"images": content["images"], "annotations": objects, "categories": things}
    missing = [
        Defect(
            MISSING_SEGMENTS, f"image {image.get('id')} ({image.get('file_name')})", "no record in `annotations`", at
        )
        for at, image in enumerate(content["images"])
        if segments and image.get("id") not in segments
    ]
    metadata = {"stuff": [(category["id"], str(category.get("name", category["id"]))) for category in stuff]}
    return ParsedAnnotations(instances, [*missing, *find_defects(instances)], metadata, ("segment",), columns)


def _split_segments(
    images: Sequence[Record], segments: dict[Any, list[Record]], thing_ids: set[int], stuff_labels: dict[int, int]
) -> tuple[list[Record], dict[str, NDArray[np.int64]]]:
    """Return the things as annotations, and of every segment its id and its semantic class.

    segments: image id -> segments_info
    stuff_labels: category id -> semantic class
    """
    objects: list[Record] = []
    rows: list[tuple[int, int]] = []
    offsets = [0]
    for image in images:
        for segment in segments.get(image.get("id"), []):
            if segment["category_id"] in thing_ids:
                fields = {name: segment.get(name) for name in ("category_id", "bbox", "area", "iscrowd")}
                own = {"id": len(objects) + 1, "image_id": image["id"], "segment": segment["id"]}
                objects.append(own | fields)
            rows.append((segment["id"], stuff_labels.get(segment["category_id"], THINGS)))
        offsets.append(len(rows))
    table = np.array(rows, np.int64).reshape(-1, 2)
    return objects, {"first": np.array(offsets), "segment": table[:, 0], "stuff": table[:, 1]}
