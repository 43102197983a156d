"""`lineage predict`: pictures and COCO-format JSON of what a trained model sees in images, folders and videos."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from rich.console import Console
from torch import Tensor
from torchvision import tv_tensors as tv

from lineage.config.build import ConfigError, build
from lineage.data.annotations.defects import Defect, Record
from lineage.data.samples.dataset import Dataset, ObjectLabels, read_object_labels
from lineage.data.samples.metadata import DatasetMeta
from lineage.data.samples.sample import Sample
from lineage.data.transforms.augment import Augment
from lineage.data.transforms.context import Context, bind_context
from lineage.eval.predictions.image_coordinates import to_image_coordinates
from lineage.eval.predictions.predictions import Predictions
from lineage.ops.random import fold_in
from lineage.report.draw import Area, paint
from lineage.report.image_sources import Picture, Unreadable, numbers, pictures
from lineage.report.pictures import found_marks, seen_areas
from lineage.results import paths
from lineage.run.restore import Restored, restore
from lineage.structures import Images

LARGEST, SMALLEST = 1600, 480  # pixels of the longer side of a picture that is written


class Seen(NamedTuple):
    id: int
    name: str
    height: int
    width: int
    records: list[dict[str, Any]]  # COCO results in the file's pixels, best first
    best: float  # the highest score, also where none was high enough to be kept
    ground: list[Area]  # of stuff, where a model tells it apart


def main(argv: list[str]) -> int:
    """0, or 1 if a file could not be read; what could be read is done in either case."""
    args, overrides = parse(argv)
    restored = restore(args.weights, overrides, args.results, args.classes)
    device = torch.device(args.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    restored.model.to(device)
    args.out.mkdir(parents=True, exist_ok=True)
    unreadable: list[Unreadable] = []
    seen: list[Seen] = []
    console = Console(stderr=True)
    ids = numbers(args.images)
    for picture, one in detected(restored, readable(args, unreadable), ids, args.batch, args.score, device):
        if not args.no_pictures:
            draw(picture, one, restored.meta, args.out / place(one.name))
        console.print(f"{one.name}: {told(one.records, restored.meta)}", highlight=False, soft_wrap=True)
        seen.append(one._replace(ground=[]))  # it is drawn: no need to keep maps of every picture
    write(args.out / "predictions.json", seen, restored)
    for bad in unreadable:
        print(f"{bad.name}: {bad.reason}", file=sys.stderr)
    found = sum(len(one.records) for one in seen)
    print(f"{len(seen)} pictures, {found} objects of score {args.score:g} or more -> {args.out}")
    if not found and (best := max((one.best for one in seen), default=0.0)) > 0:
        print(f"the highest score was {best:.3f}: a lower --score shows more")
    if unreadable:
        print(f"{len(unreadable)} of {len(seen) + len(unreadable)} could not be read", file=sys.stderr)
    return int(bool(unreadable) or not seen)


def parse(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        prog="lineage predict",
        description="Detect objects in images, folders, patterns (quoted) and videos. Writes a picture of each and "
        "predictions.json, in COCO's format. KEY=VALUE overrides the config, as for train.py.",
    )
    parser.add_argument("images", nargs="+", metavar="IMAGE|KEY=VALUE")
    parser.add_argument("--weights", required=True, help="run folder, entry, file, URL or torchvision weight")
    parser.add_argument("--score", type=fraction, default=0.5, help="keep objects from this score on (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("predictions"), help="folder (%(default)s)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 (default: a GPU if there is one)")
    parser.add_argument("--batch", type=positive, default=1, help="images at once (%(default)s)")
    parser.add_argument("--every", type=positive, default=1, help="of a video, each N-th frame (%(default)s)")
    parser.add_argument("--classes", help="names: a,b,c, a text file, or a JSON file with COCO's categories")
    parser.add_argument("--no-pictures", action="store_true", help="write the JSON only")
    parser.add_argument("--results", type=Path, default=paths.results(), help="the store of entries (%(default)s)")
    args = parser.parse_intermixed_args(argv)
    overrides = [text for text in args.images if "=" in text and not os.path.exists(text)]
    args.images = [text for text in args.images if text not in overrides]
    if not args.images:
        parser.error("name at least one image, folder or video")
    return args, overrides


def fraction(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is no score: 0 to 1")
    return value


def positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of 1 or more")
    return int(text)


def readable(args: argparse.Namespace, unreadable: list[Unreadable]) -> Iterator[Picture]:
    for one in pictures(args.images, args.every):
        if isinstance(one, Unreadable):
            unreadable.append(one)
        else:
            yield one


class Gallery:
    """Pictures as a dataset without annotations, for what wraps datasets: proposals."""

    fingerprint = ""

    def __init__(self, pictures: Sequence[Picture], first: int, meta: DatasetMeta):
        self.pictures, self.first = pictures, first
        self.meta = meta
        self.ids = torch.arange(first, first + len(pictures))
        self.sizes = torch.tensor([one.pixels.shape[:2] for one in pictures], dtype=torch.int64).reshape(-1, 2)
        self.part_lengths: tuple[int, ...] = (len(pictures),)
        self.source: Path | None = None

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Sample:
        pixels = self.pictures[index].pixels
        size = (int(pixels.shape[0]), int(pixels.shape[1]))
        none = torch.zeros(0, dtype=torch.int64)
        return Sample(
            image=tv.Image(torch.from_numpy(pixels).permute(2, 0, 1)),
            boxes=tv.BoundingBoxes(torch.zeros(0, 4), format="XYXY", canvas_size=size),
            labels=none,
            crowd=none.bool(),
            masks=None,
            keypoints=None,
            visibility=None,
            image_id=self.first + index,
            original_size=size,
        )

    def ground_truth(self) -> dict[str, Any]:
        return {"images": [], "annotations": [], "categories": []}

    def object_labels(self) -> ObjectLabels:
        return read_object_labels(self.ground_truth(), ())

    def find_defects(self, progress: Callable[[Sequence[Record]], Iterable[Record]]) -> Iterator[Defect]:
        return iter(())


@torch.inference_mode()
def detected(
    restored: Restored, found: Iterator[Picture], ids: dict[str, int], batch: int, score: float, device: torch.device
) -> Iterator[tuple[Picture, Seen]]:
    """Some at a time through the transforms, the model and back to the pixels of the files."""
    augment = Augment(**build(restored.config.augment))
    first = 1
    while group := list(islice(found, batch)):
        gallery = Gallery(group, first, restored.meta)
        transform = bind_context(augment.test, Context(gallery, step=0, seed=0))
        dataset = with_proposals(restored, gallery)
        samples = [transform(dataset[index]) for index in range(len(group))]
        made = augment.collate(samples, [fold_in(sample.image_id) for sample in samples])
        images = Images(*(on(field, device) for field in made.images))
        detections = restored.model.detect(images)
        for slot, picture in enumerate(group):
            flat = to_image_coordinates(detections, made, slot, ("box", "mask", "keypoint"))
            height, width = picture.pixels.shape[:2]
            number = ids.get(picture.name, first + slot)
            best = float(flat.scores.max()) if len(flat.scores) else 0.0
            kept = records(flat, restored.meta, score)
            ground = seen_areas(detections, made, slot, restored.meta.stuff)
            yield picture, Seen(number, picture.name, height, width, kept, best, ground)
        first += len(group)


def on(field: Any, device: torch.device) -> Any:
    """A tensor, or a tuple of them, on the device."""
    if field is None or isinstance(field, Tensor):
        return None if field is None else field.to(device)
    return type(field)(*(on(part, device) for part in field))


def with_proposals(restored: Restored, gallery: Gallery) -> Dataset:
    proposals = restored.config.get("proposals")
    if not proposals or proposals.get("val") is None:
        return gallery
    try:
        return build(proposals.val)(gallery)
    except (KeyError, OSError, ValueError) as error:
        raise ConfigError(f"this model reads proposals that were made before, which new images have not: {error}\n"
                          "Choose proposals that can be made here: proposals=selective_search") from error  # fmt: skip


def records(predictions: Predictions, meta: DatasetMeta, score: float) -> list[dict[str, Any]]:
    """COCO result records, best first."""
    columns: dict[str, list[Any]] = {
        "category_id": [meta.category_ids[label] for label in predictions.labels.tolist()],
        "score": predictions.scores.tolist(),
        "bbox": predictions.boxes.tolist(),
    }
    if len(predictions.rle_lengths):
        columns["segmentation"] = predictions.masks()
    if predictions.keypoints.size:
        columns["keypoints"] = predictions.keypoints.reshape(len(predictions.scores), -1).tolist()
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return sorted((row for row in rows if row["score"] >= score), key=lambda row: -row["score"])


def draw(picture: Picture, seen: Seen, meta: DatasetMeta, path: Path) -> None:
    image = Image.fromarray(picture.pixels)
    longer = max(image.size)
    scale = min(1.0, LARGEST / longer) if longer >= SMALLEST else SMALLEST / longer
    marks = found_marks(seen.records, meta, 0.0)
    path.parent.mkdir(parents=True, exist_ok=True)
    paint(image, marks, scale, seen.ground).save(path)


def place(name: str) -> Path:
    """Where the picture of a file goes: `a/b.jpg` -> `a/b.jpg.png`, so that no two files share one."""
    return Path(f"{name.replace('#', '-')}.png")


def told(records: Sequence[dict[str, Any]], meta: DatasetMeta) -> str:
    counts: dict[str, int] = {}
    for record in records:
        name = meta.classes[meta.category_ids.index(record["category_id"])]
        counts[name] = counts.get(name, 0) + 1
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "nothing"


def write(path: Path, seen: Sequence[Seen], restored: Restored) -> None:
    """One file that says everything: images, categories, and the detections as annotations with a score."""
    rows = [(one.id, record) for one in seen for record in one.records]
    pairs = zip(restored.meta.category_ids, restored.meta.classes, strict=True)
    content = {
        "info": {"description": f"predictions of {restored.source}"},
        "images": [{"id": one.id, "file_name": one.name, "height": one.height, "width": one.width} for one in seen],
        "categories": [{"id": number, "name": name} for number, name in pairs],
        "annotations": [
            {"id": number, "image_id": image, **record, "area": record["bbox"][2] * record["bbox"][3], "iscrowd": 0}
            for number, (image, record) in enumerate(rows, 1)
        ],
    }
    path.write_text(json.dumps(content))
