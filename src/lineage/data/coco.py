"""COCO-format datasets: the original files, person keypoints, and anybody's own folder in the same format.

A file names its own classes: any category ids will do, labels follow the ids in ascending order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import torch
from torchvision import tv_tensors as tv

from lineage.data import check, image
from lineage.data.columns import columns, strings
from lineage.data.crops import Crops
from lineage.data.defects import Defect, Record, find
from lineage.structures import Sample

HELP = """\
A dataset in COCO format is a folder with images and a JSON file for each split:
    <root>/annotations/instances_train2017.json    <root>/train2017/*.jpg
    <root>/annotations/instances_val2017.json      <root>/val2017/*.jpg
A copy you have:  dataset=coco dataset.root=<root>
Your own files:   dataset=coco dataset.root=<root> dataset.train.annotations=train.json dataset.train.images=train \\
                  dataset.val.annotations=val.json dataset.val.images=val    (paths inside <root>, or absolute)
COCO 2017 itself: unpack these in <root>, 18 GB + 1 GB + 0.24 GB:
    http://images.cocodataset.org/zips/train2017.zip
    http://images.cocodataset.org/zips/val2017.zip
    http://images.cocodataset.org/annotations/annotations_trainval2017.zip"""


class Coco:
    """`images` and `annotations` are paths inside `root`. Where there is no such image folder, the images may also lie
    beside the annotation file (Roboflow's layout), in an `images` folder there, or in the root.
    """

    def __init__(
        self, *, annotations: str, images: str = "images", root: str | None = None, skip_empty: bool = False,
        on_defect: str = "raise", split: str = "dataset.train",
    ) -> None:  # fmt: skip
        self.file = Path(root or "", annotations).expanduser()
        if root is None and not self.file.is_absolute():
            raise check.DatasetError(f"dataset.root is not set, so there is no {annotations}.\n{HELP}")
        content = check.read(self.file, f"Set {split}.annotations or dataset.root.\n{HELP}")
        self.folder = image_folder(self.file, images, root, content["images"], split)
        defects = [*find(content), *check.sampled(content["images"], self.folder)]
        check.settle(defects, self.file, self.folder, on_defect, split, len(content["annotations"]))
        kept, objects = without(content, defects)
        if skip_empty:
            used = {one["image_id"] for one in objects if not one.get("iscrowd")}
            kept = [one for one in kept if one["id"] in used]
        if not kept:
            raise check.DatasetError(f"{self.file}: no image has an annotation that can be used.")
        self._read(kept, objects, sorted(content["categories"], key=lambda one: one["id"]))

    def _read(self, images: Sequence[Record], objects: Sequence[Record], categories: Sequence[Record]) -> None:
        self.category_ids = tuple(one["id"] for one in categories)
        self.classes = tuple(str(one.get("name", one["id"])) for one in categories)
        named = any(one.get("keypoints") for one in objects)
        self.keypoints = max((tuple(one.get("keypoints", ())) for one in categories), key=len) if named else ()
        self.mirrored = mirrored(self.keypoints)
        self.ids = torch.tensor([one["id"] for one in images])
        self.sizes = torch.tensor([(one["height"], one["width"]) for one in images])
        self.names = strings([one["file_name"].encode() for one in images])
        kept = set(self.ids.tolist())
        labels = {category: label for label, category in enumerate(self.category_ids)}
        self.columns = columns(images, [o for o in objects if o["image_id"] in kept], labels, len(self.keypoints))
        parts = (
            self.columns.digest(),
            self.names.text,
            self.ids.numpy(),
            self.sizes.numpy(),
            repr(self.classes).encode(),
        )
        self.fingerprint = hashlib.sha256(b"".join(map(bytes, parts))).hexdigest()

    def __len__(self) -> int:
        return len(self.ids)

    def path(self, index: int) -> Path:
        return self.folder / self.names(index).decode()

    def __getitem__(self, index: int) -> Sample:
        height, width = size = tuple(self.sizes[index].tolist())
        data = self.columns
        rows = slice(data.first[index], data.first[index + 1])
        points = None if data.keypoints is None else torch.from_numpy(data.keypoints[rows].copy())
        return Sample(
            image=image.read(self.path(index), (height, width)),
            boxes=tv.BoundingBoxes(torch.from_numpy(data.boxes[rows].copy()), format="XYXY", canvas_size=size),
            labels=torch.from_numpy(data.labels[rows].copy()),
            crowd=torch.from_numpy(data.crowd[rows].copy()),
            masks=self._masks(range(rows.start, rows.stop), (height, width)),
            keypoints=None if points is None else tv.KeyPoints(points[..., :2].clone(), canvas_size=size),
            visible=None if points is None else points[..., 2].long(),
            id=int(self.ids[index]),
            size=(height, width),
        )

    def _masks(self, rows: range, size: tuple[int, int]) -> Crops | None:
        if self.columns.masks is None:
            return None
        empty = [size[0] * size[1]]
        return Crops.from_rle([{"size": size, "counts": self.columns.masks(i) or empty} for i in rows], size)

    def ground_truth(self) -> dict[str, Any]:
        """Read again from the file, digit for digit: evaluation is rare, and the records are large."""
        content = check.read(self.file, "It was there when training began: put it back.")
        kept, objects = without(content, [*find(content)])
        ids = set(self.ids.tolist())
        objects = [one for one in objects if one["image_id"] in ids]
        shift = int(any(one["id"] == 0 for one in objects))  # to pycocotools a match with object 0 is no match
        return {
            "images": [one for one in kept if one["id"] in ids],
            "annotations": [complete(one, one["id"] + shift) for one in objects],
            "categories": content["categories"],
        }


def complete(annotation: Record, number: int) -> Record:
    """With the fields that evaluators expect and many exports leave out."""
    width, height = annotation["bbox"][2:]
    return {"iscrowd": 0, "area": width * height, **annotation, "id": number}


def without(content: dict[str, list[Record]], defects: Collection[Defect]) -> tuple[list[Record], list[Record]]:
    """The images and annotations that remain when the broken ones are left out."""
    images = {one.place for one in defects if one.kind.loses == "image"}
    objects = {one.place for one in defects if one.kind.loses == "object"}
    kept = [one for place, one in enumerate(content["images"]) if place not in images]
    ids = {one["id"] for one in kept}
    found = enumerate(content["annotations"])
    return kept, [one for place, one in found if place not in objects and one["image_id"] in ids]


def image_folder(file: Path, images: str, root: str | None, records: Sequence[Record], split: str) -> Path:
    """The configured folder, or the first usual place that holds the first image."""
    configured = Path(root or "", images).expanduser()
    if configured.is_dir():
        return configured
    places = [file.parent, file.parent / "images", *([Path(root)] if root else [])]
    name = str(records[0].get("file_name"))
    for place in places:
        if (place / name).is_file():
            return place
    looked = "\n".join(f"    {place / name}" for place in (configured, *places))
    raise check.DatasetError(f"{configured}: no such folder of images. Looked for the first image at\n{looked}\n"
                             f"Set {split}.images to the folder that holds {name}.")  # fmt: skip


def mirrored(names: Sequence[str]) -> tuple[int, ...]:
    """Which keypoint each becomes in a flipped image: left_eye the right_eye, the nose itself."""
    swap = {name: name.replace("left", "*").replace("right", "left").replace("*", "right") for name in names}
    return tuple(names.index(swap[name]) if swap[name] in names else i for i, name in enumerate(names))
