"""Predict on images without annotations: transform, detect, and return to the pixels of the files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors as tv

from lineage.config.build import ConfigError, build
from lineage.data.annotations.defects import Defect, Record
from lineage.data.annotations.image_ids import ImageIds
from lineage.data.canvas import count_images_at_once, group_batches
from lineage.data.samples.dataset import Dataset, ObjectLabels, read_object_labels
from lineage.data.samples.metadata import DatasetMeta
from lineage.data.samples.sample import Sample
from lineage.data.transforms.context import Context, bind_context
from lineage.data.transforms.geometry import get_size
from lineage.eval.files.score_file import Rescore
from lineage.eval.predictions.coco_records import to_records
from lineage.eval.predictions.host_copy import sizes_of
from lineage.eval.predictions.image_coordinates import to_image_coordinates
from lineage.eval.predictions.predictions import Predictions, split_images
from lineage.report.draw import Area
from lineage.report.image_sources import Picture
from lineage.report.pictures import extract_areas
from lineage.run.restore import Restored
from lineage.structures import Images


@dataclass(frozen=True, slots=True)
class ImagePredictions:
    """The predictions of a model on one image."""

    image_id: int
    name: str
    height: int
    width: int
    records: list[dict[str, Any]]  # COCO results in the file's pixels, best first
    max_score: float  # of all detections, those below the threshold included
    stuff: list[Area]  # of models with a semantic head


class UnannotatedImages:
    """Pictures as a dataset without annotations, for proposals that read a dataset."""

    fingerprint = ""

    def __init__(self, pictures: Sequence[Picture], first_id: int, meta: DatasetMeta):
        self.pictures, self.first_id = pictures, first_id
        self.meta = meta
        self.ids = torch.arange(first_id, first_id + len(pictures))
        sizes = [picture.pixels.shape[:2] for picture in pictures]
        self.sizes = torch.tensor(sizes, dtype=torch.int64).reshape(-1, 2)
        self.part_lengths: tuple[int, ...] = (len(pictures),)
        self.source: Path | None = None

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Sample:
        pixels = self.pictures[index].pixels
        size = (int(pixels.shape[0]), int(pixels.shape[1]))
        labels = torch.zeros(0, dtype=torch.int64)
        return Sample(
            image=tv.Image(torch.from_numpy(pixels).permute(2, 0, 1)),
            boxes=tv.BoundingBoxes(torch.zeros(0, 4), format="XYXY", canvas_size=size),
            labels=labels,
            crowd=labels.bool(),
            masks=None,
            keypoints=None,
            visibility=None,
            image_id=self.first_id + index,
            original_size=size,
        )

    def ground_truth(self) -> dict[str, Any]:
        return {"images": [], "annotations": [], "categories": []}

    def object_labels(self) -> ObjectLabels:
        return read_object_labels(self.ground_truth(), ())

    def find_defects(self, progress: Callable[[Sequence[Record]], Iterable[Record]]) -> Iterator[Defect]:
        return iter(())


@torch.inference_mode()
def predict_images(
    restored: Restored,
    pictures: Iterator[Picture],
    *,
    ids: ImageIds,
    batch: int,
    score_thresh: float,
    device: torch.device,
    rescore: Rescore | None = None,
) -> Iterator[tuple[Picture, ImagePredictions]]:
    """Yield each picture with its predictions: those of the evaluation, whatever else is predicted beside it.

    batch: the largest number of pictures at once on a GPU, if they share a canvas; on a CPU they come one by one.
    score_thresh: records below this score are left out.
    rescore: returns the scores that are written, such as calibrated ones; None: those of the model.
    """
    first_id, free_ids = 1, count(ids.first_free)
    while group := list(islice(pictures, batch)):
        # 1. to the canvases of the model
        images = UnannotatedImages(group, first_id, restored.meta)
        transform = bind_context(restored.canvas.augment.test, Context(images, step=0, seed=0))
        dataset = add_proposals(restored, images)
        samples = [transform(dataset[index]) for index in range(len(group))]
        canvases = [restored.canvas.choose(get_size(sample)) for sample in samples]
        names = [picture.name for picture in group]
        image_ids = [ids.by_name[name] if name in ids.by_name else next(free_ids) for name in names]
        predictions: dict[int, ImagePredictions] = {}
        for slots in group_batches(canvases, count_images_at_once(device, batch)):
            # 2. detect
            inputs = restored.canvas.collate([samples[slot] for slot in slots])
            detections = restored.detect(Images(*(move_to(field, device) for field in inputs.images)))
            # 3. back to the pixels of the files
            in_files = split_images(to_image_coordinates(detections, sizes_of(inputs), ("box", "mask", "keypoint")))
            for row, slot in enumerate(slots):
                stuff = extract_areas(detections, inputs, row, restored.meta.stuff)
                predictions[slot] = read_predictions(
                    in_files[row], stuff, group[slot], image_ids[slot], restored.meta, score_thresh, rescore
                )
        yield from ((picture, predictions[slot]) for slot, picture in enumerate(group))
        first_id += len(group)


def read_predictions(
    predictions: Predictions,
    stuff: list[Area],
    picture: Picture,
    image_id: int,
    meta: DatasetMeta,
    score_thresh: float,
    rescore: Rescore | None = None,
) -> ImagePredictions:
    """Return the predictions for a picture, in the pixels of its file."""
    if rescore is not None:
        predictions = predictions._replace(scores=rescore(predictions, meta.category_ids))
    height, width = picture.pixels.shape[:2]
    return ImagePredictions(
        image_id=image_id,
        name=picture.name,
        height=height,
        width=width,
        records=to_coco_records(predictions, meta, score_thresh),
        max_score=float(predictions.scores.max()) if len(predictions.scores) else 0.0,
        stuff=stuff,
    )


def move_to(field: Any, device: torch.device) -> Any:
    """Move a tensor, or a tuple of them, to the device."""
    if field is None or isinstance(field, Tensor):
        return None if field is None else field.to(device)
    return type(field)(*(move_to(value, device) for value in field))


def add_proposals(restored: Restored, images: UnannotatedImages) -> Dataset:
    """Add precomputed proposals if the model takes them. Raises ConfigError if their source has none of new images."""
    proposals = restored.config.get("proposals")
    if not proposals or proposals.get("val") is None:
        return images
    try:
        return build(proposals.val)(images)
    except (KeyError, OSError, ValueError) as error:
        raise ConfigError(f"this model reads proposals that were made before, which new images have not: {error}\n"
                          "Choose proposals that can be made here: proposals=selective_search") from error  # fmt: skip


def to_coco_records(predictions: Predictions, meta: DatasetMeta, score_thresh: float) -> list[dict[str, Any]]:
    """Convert to COCO result records, best first."""
    records = to_records(predictions, meta.category_ids)
    for record in records:
        del record["image_id"]  # of the batch; the picture has its own
    return sorted((record for record in records if record["score"] >= score_thresh), key=lambda row: -row["score"])


def to_coco_dict(predictions: Sequence[ImagePredictions], restored: Restored) -> dict[str, Any]:
    """Convert to a COCO annotation file: images, categories, and the detections as annotations with a score."""
    records = [(image.image_id, record) for image in predictions for record in image.records]
    return {
        "info": {"description": f"predictions of {restored.source}"},
        "images": [
            {"id": image.image_id, "file_name": image.name, "height": image.height, "width": image.width}
            for image in predictions
        ],
        "categories": restored.meta.categories(),
        "annotations": [
            {"id": number, "image_id": image, **record, "area": record["bbox"][2] * record["bbox"][3], "iscrowd": 0}
            for number, (image, record) in enumerate(records, 1)
        ],
    }


def to_coco_results(predictions: Sequence[ImagePredictions]) -> list[dict[str, Any]]:
    """Convert to a COCO result file: a list of detections, as `lineage evaluate` and `COCO.loadRes` read it."""
    return [{"image_id": image.image_id, **record} for image in predictions for record in image.records]
