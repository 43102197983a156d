"""A dataset over an index: what every format becomes once it is read.

A format is a function that reads its own files into COCO's terms, {images, annotations, categories}, and says what is
wrong with them. That happens once (mmap_index.py); from then on a dataset is a few memory-mapped columns and the folder
of the images, and travels to a worker process as two paths.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision import tv_tensors as tv

from lineage.data.annotations import content_hash, file_check_cache, mmap_index, packed_masks, to_coco, validate
from lineage.data.annotations.columns import Columns, Kept, columns, partial_records, restored, select
from lineage.data.annotations.defects import Defect, Kind, Record
from lineage.data.annotations.skeleton import create_flip_indices, read_skeleton
from lineage.data.samples import image
from lineage.data.samples.dataset import ObjectLabels
from lineage.data.samples.mask_crops import Crops
from lineage.data.samples.metadata import DatasetMeta
from lineage.data.samples.sample import Sample

LAYOUT = 3  # of the columns; a new number makes every index anew
THINGS = "things"  # the first semantic class: all of them together
LARGE = 10  # MB of annotations that take more than a second or two to read


class Read(NamedTuple):
    """What a format's reader found."""

    content: dict[str, list[Record]]  # COCO's images, annotations and categories
    defects: Sequence[Defect]
    told: dict[str, Any] = {}  # noqa: RUF012  # more attributes of the dataset: `frequencies`, `stuff`
    extra: tuple[str, ...] = ()  # fields of annotations that evaluators ask for, whole numbers
    more: dict[str, NDArray[Any]] = {}  # noqa: RUF012  # columns of the format's own, by places in its file


class Beside(NamedTuple):
    """A file that goes with each image: its own path, in another folder and with another ending."""

    folder: Path
    ending: str
    instead: str

    def of(self, name: str) -> Path:
        return self.folder / (name.removesuffix(self.ending) + self.instead)


class Files(NamedTuple):
    """Where a dataset lies: what was annotated, and what to call it in messages."""

    annotations: Sequence[Path]  # everything the reader reads
    folder: Path  # of the images
    name: Path  # the file or folder a person would look at
    split: str  # the config node, such as dataset.train
    document: Path | None = None  # a COCO-format file, which is itself the ground truth
    beside: dict[str, Beside] = {}  # noqa: RUF012  # told to evaluators with each image


class Annotated:
    """Any annotated dataset on disk; see `Dataset` for what it offers."""

    def __init__(self, found: mmap_index.Index, files: Files, keep: Sequence[int] | None = None) -> None:
        """`keep` are the positions of the images that remain when some files cannot be used."""
        data, told = restored(found.columns), found.told
        self.columns: Columns = data if keep is None else select(data, np.asarray(keep, np.int64))
        self.folder, self.files = files.folder, files
        self.meta = read_meta(told)
        self.fingerprint: str = told["fingerprint"] if keep is None else self.columns.digest()
        self.ids = torch.from_numpy(self.columns.ids)
        self.sizes = torch.from_numpy(self.columns.sizes)
        self.part_lengths: tuple[int, ...] = (len(self.ids),)
        self.source: Path | None = files.name
        self.defects = known_defects(found)
        self._opened = found.path, files, keep

    def __reduce__(self) -> tuple[Any, ...]:
        return reopened, self._opened

    def __len__(self) -> int:
        return len(self.columns.ids)

    def path(self, position: int) -> Path:
        return self.folder / self.columns.names(position).decode(errors="surrogateescape")

    def __getitem__(self, position: int) -> Sample:
        height, width = self.columns.sizes[position].tolist()
        return self.labelled(position, image.read(self.path(position), (height, width)))

    def labelled(self, position: int, picture: tv.Image) -> Sample:
        """The objects of an image on its pixels, which may come from elsewhere."""
        height, width = size = tuple(self.columns.sizes[position].tolist())
        data = self.columns
        rows = slice(data.first[position], data.first[position + 1])
        joints = None if data.keypoints is None else data.keypoints.dense(_span(rows), len(self.meta.keypoints))
        points = None if joints is None else torch.from_numpy(joints)
        return Sample(
            image=picture,
            boxes=tv.BoundingBoxes(torch.from_numpy(data.boxes[rows].copy()), format="XYXY", canvas_size=size),
            labels=torch.from_numpy(data.labels[rows].astype(np.int64)),
            crowd=torch.from_numpy(data.crowd[rows].copy()),
            masks=self._masks(_span(rows), (height, width)),
            keypoints=None if points is None else tv.KeyPoints(points[..., :2].clone(), canvas_size=size),
            visibility=None if points is None else points[..., 2].long(),
            image_id=int(data.ids[position]),
            original_size=(height, width),
        )

    def _masks(self, rows: range, size: tuple[int, int]) -> Crops | None:
        """A crowd is nobody's target: its mask stays undrawn."""
        masks = self.columns.masks
        if masks is None:
            return None
        empty = packed_masks.run_lengths({"segmentation": {"size": size, "counts": [size[0] * size[1]]}}, size)
        counts = [empty if self.columns.crowd[i] else packed_masks.unpacked(masks(i), size) or empty for i in rows]
        return Crops.from_rle([{"size": size, "counts": one} for one in counts], size)

    def find_defects(self, progress: Callable[[Sequence[Record]], Iterable[Record]]) -> Iterator[Defect]:
        """Yield every defect of the records and of the image files, all of which are decoded."""
        path, files, _ = self._opened
        found = mmap_index.load(path)
        if found is None or mmap_index.damage(found):
            raise validate.DatasetError(f"{path}: the index is damaged; delete it, it is made again: rm {path}")
        record, count = partial_records(restored(found.columns)), len(found.columns["ids"])
        yield from self.defects
        yield from validate.files(progress([record(i) for i in range(count)]), files.folder, image.read)

    def object_labels(self) -> ObjectLabels:
        """Return the labels of all objects, crowds included, from the columns."""
        images = np.repeat(np.arange(len(self)), np.diff(self.columns.first))
        return ObjectLabels(images, self.columns.labels.astype(np.int64))

    def ground_truth(self) -> dict[str, Any]:
        """A COCO-format file is read again, digit for digit, as its records are large; else the columns are told."""
        if self.files.document is None:
            return self.spelled()
        content = validate.read(self.files.document, "It was there when training began: put it back.")
        data = self.columns
        try:
            images = [content["images"][place] for place in data.image_places.tolist()]
            objects = [content["annotations"][place] for place in np.sort(data.places).tolist()]
        except IndexError as error:
            raise validate.DatasetError(f"{self.files.document} has changed since training began.") from error
        shift = int(any(one["id"] == 0 for one in objects))  # to pycocotools a match with object 0 is no match
        annotations = [to_coco.complete(one, one["id"] + shift) for one in objects]
        return {**content, "images": images, "annotations": annotations}

    def spelled(self) -> dict[str, Any]:
        """The ground truth as the columns tell it."""
        beside = {key: file.of for key, file in self.files.beside.items()}
        return to_coco.spelled(self.columns, self.meta, beside)


def _span(rows: slice) -> range:
    return range(int(rows.start), int(rows.stop))


def reopened(path: Path, files: Files, keep: Sequence[int] | None) -> Annotated:
    """In another process."""
    found = mmap_index.load(path)
    if found is None:
        raise validate.DatasetError(f"{path}: the index vanished during the run; start again to rebuild it.")
    return Annotated(found, files, keep)


def annotated(
    files: Files, options: tuple[Any, ...], read: Callable[[], Read], skip_empty: bool, on_defect: str, least: int = 0
) -> Annotated:
    """Open a dataset; `read` is called only where the files or the `options` that it depends on are new.

    Images stay out that have no object (`skip_empty`) or fewer than `least` labelled keypoints.
    """
    if on_defect not in ("raise", "drop"):
        raise validate.DatasetError(f"{files.split}.on_defect={on_defect} is not a choice; use raise or drop.")
    found = indexed(files, (*options, skip_empty, least), lambda: made(read(), skip_empty, least))
    keep = usable(found, files, on_defect)
    if keep == [] or not len(found.columns["labels"]):
        raise validate.DatasetError(_nothing_left(files, found, len(known_defects(found)), skip_empty, least))
    return Annotated(found, files, keep)


def usable(found: mmap_index.Index, files: Files, on_defect: str) -> list[int] | None:
    """The positions of the images whose files can be used, None for all. Raises DatasetError."""
    count = len(found.columns["ids"])
    missing = file_check_cache.sampled(partial_records(restored(found.columns)), count, files.folder, found.path.stem)
    defects = [*known_defects(found), *missing]
    validate.settle(defects, files.name, files.folder, on_defect, files.split, found.told["annotations"])
    lost = {one.place for one in missing}
    return [i for i in range(count) if i not in lost] if lost else None


def known_defects(found: mmap_index.Index) -> list[Defect]:
    """Of the records, as they were when the index was made."""
    return [Defect(Kind(*kind), *rest) for kind, *rest in found.told["defects"]]


def _nothing_left(files: Files, found: mmap_index.Index, defects: int, skip_empty: bool, least: int) -> str:
    if len(found.columns["labels"]):
        return f"{files.name}: none of its {len(found.columns['ids'])} images in {files.folder} can be used."
    wanted = f"; an image needs an object with {least} labelled keypoints" if least else ""
    wanted = wanted or ("; an image needs an object that is no crowd" if skip_empty else "")
    told = f"{files.name}: no image is left. It holds {found.told['annotations']} annotations and {defects} defects"
    return f"{told}{wanted}."


def indexed(files: Files, options: tuple[Any, ...], make: Callable[[], mmap_index.Made]) -> mmap_index.Index:
    root = files.name if files.name.is_dir() else files.name.parent
    told = repr((LAYOUT, content_hash.digest(files.annotations, root), options))
    return mmap_index.opened(hashlib.sha256(told.encode()).hexdigest()[:32], lambda: announced(files, make))


def announced(files: Files, make: Callable[[], mmap_index.Made]) -> mmap_index.Made:
    """Whoever opens a large file for the first time waits: say for what, and that it is once."""
    megabytes = sum(file.stat().st_size for file in files.annotations if file.is_file()) / 1e6
    if megabytes < LARGE:
        return make()
    start = time.monotonic()
    print(f"{files.name}: reading and checking {megabytes:,.0f} MB, once ...", file=sys.stderr, flush=True)
    found = make()
    print(f"... took {time.monotonic() - start:.0f} s; later it opens in milliseconds", file=sys.stderr, flush=True)
    return found


def made(found: Read, skip_empty: bool, least: int) -> mmap_index.Made:
    content, categories = found.content, sorted(found.content["categories"], key=lambda one: one["id"])
    kept = without(content, found.defects)
    if skip_empty or least:
        kept = wanted(kept, least)
    named = any(one.get("keypoints") for _, one in kept.annotations)
    joints = max((tuple(one.get("keypoints", ())) for one in categories), key=len) if named else ()
    data = columns(kept, {one["id"]: label for label, one in enumerate(categories)}, bool(joints), found.extra)
    data = data._replace(more=found.more)
    classes = [str(one.get("name", one["id"])) for one in categories]
    told = {
        "classes": classes,
        "category_ids": [one["id"] for one in categories],
        "keypoints": joints,
        "mirrored": found.told.get("mirrored", create_flip_indices(joints)),
        "skeleton": read_skeleton(categories) if joints else (),
        "fingerprint": hashlib.sha256(repr((data.digest(), classes)).encode()).hexdigest(),
        "defects": found.defects,
        "annotations": len(content["annotations"]),
        "more": found.told,
    }
    return told, data.flat()


def wanted(kept: Kept, least: int) -> Kept:
    """Images with an object that is no crowd and with at least so many labelled keypoints, and what is on them."""
    joints: Counter[int] = Counter()
    for _, one in kept.annotations:
        if not one.get("iscrowd"):
            joints[one["image_id"]] += sum(flag > 0 for flag in (one.get("keypoints") or ())[2::3])
    used = {image for image, count in joints.items() if count >= least}
    return Kept(
        [(place, one) for place, one in kept.images if one["id"] in used],
        [(place, one) for place, one in kept.annotations if one["image_id"] in used],
    )


def without(content: dict[str, list[Record]], defects: Collection[Defect]) -> Kept:
    """The images and annotations that remain when the broken ones are left out."""
    images = {one.place for one in defects if one.kind.loses == "image"}
    objects = {one.place for one in defects if one.kind.loses == "object"}
    kept = [(place, one) for place, one in enumerate(content["images"]) if place not in images]
    ids = {one["id"] for _, one in kept}
    found = enumerate(content["annotations"])
    return Kept(kept, [(place, one) for place, one in found if place not in objects and one["image_id"] in ids])


def read_meta(header: dict[str, Any]) -> DatasetMeta:
    """Return the metadata that an index stores in its header."""
    more = header["more"]
    return DatasetMeta(
        classes=tuple(header["classes"]),
        category_ids=tuple(header["category_ids"]),
        keypoints=tuple(header["keypoints"]),
        flip_indices=tuple(header["mirrored"]) if header["keypoints"] else (),
        skeleton=tuple((first, second) for first, second in header["skeleton"]),
        stuff=(THINGS, *(name for _, name in more["stuff"])) if "stuff" in more else (),
        stuff_ids=tuple(number for number, _ in more.get("stuff", ())),
        frequencies=tuple(more.get("frequencies", ())),
        image_counts=tuple(more.get("image_counts", ())),
    )
