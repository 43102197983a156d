"""A dataset over an index: a few memory-mapped columns and the folder of the images.

Every format becomes one. It is sent to a worker process as two paths.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torchvision import tv_tensors as tv

from lineage.data.annotations import mmap_index, packed_masks, validate
from lineage.data.annotations.build_index import read_cures, read_defects, read_meta
from lineage.data.annotations.columns import Columns, has_mask, select_images, select_objects, unflatten
from lineage.data.annotations.defects import MISSING_MASK, Defect, Record
from lineage.data.annotations.paths import DatasetPaths
from lineage.data.annotations.to_coco import complete_annotation, to_coco_dict
from lineage.data.samples import image
from lineage.data.samples.dataset import ObjectLabels
from lineage.data.samples.mask_crops import MaskCrops
from lineage.data.samples.sample import Sample
from lineage.results.garbage_collection import pause_collection

log = logging.getLogger(__name__)

PartialMasks: TypeAlias = Literal["keep", "drop_objects", "drop_masks"]


class IndexedDataset:
    """Annotated images on disk; see `Dataset` for the attributes and methods."""

    def __init__(
        self,
        index: mmap_index.Index,
        paths: DatasetPaths,
        positions: Sequence[int] | None = None,
        partial_masks: PartialMasks = "keep",
    ) -> None:
        """Select a part of an index.

        positions: of images, if some files cannot be used; None: all
        partial_masks: where some objects have no mask, keep all, drop these objects, or drop all masks
        """
        columns = unflatten(index.columns)
        if positions is not None:
            columns = select_images(columns, np.asarray(positions, np.int64))
        if partial_masks != "keep":
            keep = has_mask(columns)
            columns = select_objects(columns, keep) if partial_masks == "drop_objects" else columns._replace(masks=None)
        self.columns: Columns = columns
        self.paths = paths
        self.meta = read_meta(index)
        self.cures = read_cures(index)
        self.fingerprint: str = (
            index.metadata["fingerprint"] if positions is None and partial_masks == "keep" else self.columns.digest()
        )
        self.ids = torch.from_numpy(self.columns.image_ids)
        self.sizes = torch.from_numpy(self.columns.image_sizes)
        self.part_lengths: tuple[int, ...] = (len(self.ids),)
        self.source: Path | None = paths.source
        self.index_path = index.path
        self._positions, self._partial_masks = positions, partial_masks
        broken = [defect for defect in read_defects(index) if defect.kind.drops == "mask"]
        self._broken_masks = {defect.position for defect in broken if defect.kind != MISSING_MASK}

    def __reduce__(self) -> tuple[Any, ...]:
        return reopen, (self.index_path, self.paths, self._positions, self._partial_masks)

    @property
    def content_key(self) -> str:
        """Return a name of all that `ground_truth` returns: the content of the files, and the part of it in use."""
        return repr((self.index_path.stem, self.fingerprint, self._positions, self._partial_masks))

    def resolve_partial_masks(self, needs_masks: bool) -> IndexedDataset:
        """Return the dataset for a model: without objects that lack a mask if it learns masks, else without all masks.

        If every object has a mask, this is the dataset itself.
        """
        if (lacking := int((~has_mask(self.columns)).sum())) == 0:
            return self
        if needs_masks:
            log.warning(
                "%s: %d of %d objects have no mask, and the model is trained without them; a model without a mask head "
                "learns their boxes", self.source, lacking, len(self.columns.labels),
            )  # fmt: skip
        return reopen(self.index_path, self.paths, self._positions, "drop_objects" if needs_masks else "drop_masks")

    def __len__(self) -> int:
        return len(self.columns.image_ids)

    def path(self, position: int) -> Path:
        return self.paths.image_folder / self.columns.file_name(position)

    def __getitem__(self, position: int) -> Sample:
        height, width = self.columns.image_sizes[position].tolist()
        return self.sample_on_image(position, image.read(self.path(position), (height, width), self.paths.decoding))

    def sample_on_image(self, position: int, pixels: tv.Image) -> Sample:
        """Return the sample of an image with these pixels, which may come from another dataset."""
        height, width = self.columns.image_sizes[position].tolist()
        rows, columns = self.columns.rows(position), self.columns
        span = slice(rows.start, rows.stop)
        points = None
        if columns.keypoints is not None:
            points = torch.from_numpy(columns.keypoints.dense(rows, len(self.meta.keypoints)))
        return Sample(
            image=pixels,
            boxes=tv.BoundingBoxes(
                torch.from_numpy(columns.boxes[span].copy()), format="XYXY", canvas_size=(height, width)
            ),
            labels=torch.from_numpy(columns.labels[span].astype(np.int64)),
            crowd=torch.from_numpy(columns.crowd[span].copy()),
            masks=self._masks(rows, (height, width)),
            keypoints=None if points is None else tv.KeyPoints(points[..., :2].clone(), canvas_size=(height, width)),
            visibility=None if points is None else points[..., 2].long(),
            image_id=int(columns.image_ids[position]),
            original_size=(height, width),
        )

    def _masks(self, rows: range, size: tuple[int, int]) -> MaskCrops | None:
        """Decode the masks of objects. A crowd is not a target, so its mask stays empty."""
        masks, crowd = self.columns.masks, self.columns.crowd
        if masks is None:
            return None
        empty = packed_masks.encode_rle({"segmentation": {"size": size, "counts": [size[0] * size[1]]}}, size)
        counts = [empty if crowd[row] else packed_masks.to_rle(masks(row), size) or empty for row in rows]
        return MaskCrops.from_rle([{"size": size, "counts": rle} for rle in counts], size)

    def object_labels(self) -> ObjectLabels:
        """Return the labels of all objects, crowds included, from the columns."""
        images = np.repeat(np.arange(len(self)), np.diff(self.columns.offsets))
        return ObjectLabels(images, self.columns.labels.astype(np.int64))

    def find_defects(self, progress: Callable[[Sequence[Record]], Iterable[Record]]) -> Iterator[Defect]:
        """Yield every defect of the records and of the image files, all of which are decoded."""
        path = self.index_path
        index = mmap_index.load_index(path)
        if index is None or mmap_index.find_damage(index):
            raise validate.DatasetError(
                f"{path}: the index is damaged; delete it, it is built again: rm {shlex.quote(str(path))}"
            )
        columns = unflatten(index.columns)
        records = [*columns.image_records()]
        yield from read_defects(index)
        yield from validate.check_image_files(progress(records), self.paths, validate.decode_image)

    @pause_collection()
    def ground_truth(self) -> dict[str, Any]:
        """Return the records of a COCO-format file as they are, read again; for other formats, columns as COCO dict."""
        file = self.paths.coco_file
        if file is None:
            return self.to_coco_dict()
        content = validate.read_coco(file, "It was there when training began: put it back.", require_objects=False)
        columns = self.columns
        try:
            images = [content["images"][position] for position in columns.image_positions.tolist()]
            objects = [
                self._select_record(content, position) for position in np.sort(columns.annotation_positions).tolist()
            ]
        except IndexError as error:
            raise validate.DatasetError(f"{file} has changed since training began.") from error
        if self.cures:  # of names and sizes, too
            images = [image | record for image, record in zip(images, columns.image_records(), strict=True)]
        shift = int(any(record["id"] == 0 for record in objects))  # to pycocotools a match with object 0 is no match
        annotations = [complete_annotation(record, record["id"] + shift) for record in objects]
        return {**content, "images": images, "annotations": annotations}

    def _select_record(self, content: dict[str, list[Record]], position: int) -> Record:
        """Return an annotation of the file, without its mask if that is broken."""
        record = content["annotations"][position]
        return {**record, "segmentation": None} if position in self._broken_masks else record

    def to_coco_dict(self) -> dict[str, Any]:
        return to_coco_dict(self.columns, self.meta, self.paths.sidecars)


def reopen(
    path: Path, paths: DatasetPaths, positions: Sequence[int] | None, partial_masks: PartialMasks = "keep"
) -> IndexedDataset:
    """Open the dataset in another process."""
    index = mmap_index.load_index(path)
    if index is None:
        raise validate.DatasetError(f"{path}: the index vanished during the run; start again to rebuild it.")
    return IndexedDataset(index, paths, positions, partial_masks)
