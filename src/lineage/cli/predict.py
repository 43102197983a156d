"""`lineage predict`: pictures and COCO-format JSON of what a trained model detects in images, folders and videos."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from PIL import Image
from rich.console import Console

from lineage.calibration.calibration_file import Calibration, read_calibration
from lineage.cli.decoding import add_decoding_arguments, parse_images, parse_score
from lineage.data.annotations.image_ids import ImageIds, match_annotations, number_files
from lineage.data.samples.image import MEGAPIXELS, Decoding, create_decoding
from lineage.data.samples.metadata import DatasetMeta
from lineage.data.samples.video import VIDEOS, read_frame_rate, write_frames
from lineage.report.draw import paint
from lineage.report.image_sources import Picture, Unreadable, find_files, iter_pictures
from lineage.report.pictures import mark_predictions
from lineage.report.tracks import IoUTracker
from lineage.results import paths
from lineage.results.count_noun import count_noun
from lineage.run.inference.device import choose_device
from lineage.run.inference.predict import ImagePredictions, predict_images, to_coco_dict, to_coco_results
from lineage.run.inference.slow_motion import check_model, count_halvings, insert_frames, list_sources
from lineage.run.restore import Restored, restore
from lineage.run.task import check_detector
from lineage.tables.find_entry import locate_run

MAX_SIDE, MIN_SIDE = 1600, 480  # pixels of the longer side of a picture that is written
JPEG = (".jpg", ".jpeg", ".jpe", ".jfif")
QUALITY = 92  # of JPEGs that are written, 1 to 95


def main(argv: list[str]) -> int:
    """Return 0, or 1 if a file could not be read; the others are predicted in either case."""
    args, overrides = parse(argv)
    restored = restore(args.weights, overrides, args.results, args.classes)
    device = choose_device(args.device)
    restored.model.to(device)
    if args.between is not None:
        return slow_down(args, restored, device)
    check_detector(restored.model, "predict without --between")
    ids = choose_ids(args, restored.meta)
    args.out.mkdir(parents=True, exist_ok=True)
    unreadable: list[Unreadable] = []
    predictions: list[ImagePredictions] = []
    predicted = predict_images(
        restored,
        skip_unreadable(args, choose_decoding(args, restored.config), ids, unreadable),
        ids=ids,
        batch=args.batch,
        score_thresh=args.score,
        device=device,
        rescore=open_calibration(args, restored.meta),
    )
    videos = {name: path for path, name in find_files(args.images) if path.suffix.lower() in VIDEOS}
    pairs = collect(predicted, predictions, restored.meta)
    for name, frames in groupby(follow_objects(pairs, videos), lambda pair: file_of(pair[1], videos)):
        if name in videos and not (args.frames or args.no_pictures):
            painted = (np.asarray(paint_picture(*pair, restored.meta)) for pair in frames)
            write_frames(args.out / f"{name}.mp4", painted, read_frame_rate(videos[name]) / args.every)
            continue
        for picture, image in frames:
            if not args.no_pictures:
                save_picture(picture, image, restored.meta, args.out / picture_path(image.name))
    if not predictions:  # earlier results stay
        return report_nothing(args.images, unreadable)
    (args.out / "predictions.json").write_text(json.dumps(to_coco_dict(predictions, restored)))
    scored = [image for image in predictions if not args.annotations or image.name in ids.by_name]
    unannotated = [image.name for image in predictions if args.annotations and image.name not in ids.by_name]
    (args.out / "coco_results.json").write_text(json.dumps(to_coco_results(scored)))
    print_summary(args, predictions, unreadable)
    print_unannotated(args, unannotated)
    return int(bool(unreadable))


def report_nothing(images: Sequence[str], unreadable: Sequence[Unreadable]) -> int:
    """Print why nothing was predicted, and return 1."""
    reasons = [f"{file.name}: {file.reason}" for file in unreadable]
    print("\n".join(reasons) or f"{', '.join(images)}: holds no picture or video", file=sys.stderr)
    print("nothing was predicted, and nothing is written", file=sys.stderr)
    return 1


def slow_down(args: argparse.Namespace, restored: Restored, device: torch.device) -> int:
    """Write each video with frames that the model draws between its own, at its rate: it lasts longer."""
    check_model(restored)
    count_halvings(args.between)
    for source in list_sources(args.images, args.every):
        target = args.out / f"{source.stem}.mp4"
        frames = insert_frames(restored, source.frames, args.between, device, source.name)
        count = write_frames(target, frames, source.rate)
        print(f"{source.name}: {count_noun(count, 'frame')}, {args.between} of {args.between + 1} drawn -> {target}")
    return 0


def parse(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return the arguments, and those among the images that are overrides."""
    parser = argparse.ArgumentParser(
        prog="lineage predict",
        description="Detect objects in images, folders, patterns (quoted) and videos. Writes a picture or a video of "
        "each, with steady colours of the objects of a video, and "
        "predictions.json, in COCO's format of annotations, and coco_results.json, in COCO's format of results, which "
        "`lineage evaluate` and pycocotools read. KEY=VALUE overrides the config, as for train.py.",
    )
    parser.add_argument("images", nargs="+", metavar="IMAGE|KEY=VALUE")
    parser.add_argument("--weights", required=True, help="run folder, entry, file, URL or torchvision weight")
    parser.add_argument("--score", type=parse_score, default=0.5, help="keep objects from this score on (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("predictions"), help="folder (%(default)s)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 (default: a GPU if there is one)")
    parser.add_argument("--batch", type=parse_count, default=1, help="images at once (%(default)s)")
    parser.add_argument("--every", type=parse_count, default=1, help="of a video, each N-th frame (%(default)s)")
    parser.add_argument("--frames", action="store_true", help="of a video, write each frame in place of a video")
    drawn = "of a model of frames: write videos with N drawn frames after each, N = 1, 3, 7, ..."
    parser.add_argument("--between", type=parse_count, metavar="N", help=drawn)
    add_decoding_arguments(parser)
    parser.add_argument("--classes", help="names: a,b,c, a text file, or a JSON file with COCO's categories")
    parser.add_argument("--annotations", type=Path, metavar="FILE", help="COCO file whose image ids the results have")
    fitted = "change scores by this map of `lineage calibrate`: a calibration.json, its run folder, or last"
    parser.add_argument("--calibration", type=Path, metavar="FILE", help=fitted)
    parser.add_argument("--no-pictures", action="store_true", help="write the JSON only")
    parser.add_argument("--results", type=Path, default=paths.results(), help="the store of entries (%(default)s)")
    args, overrides = parse_images(parser, argv)
    if not args.images:
        parser.error("name at least one image, folder or video")
    return args, overrides


def parse_count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of 1 or more")
    return int(text)


def choose_decoding(args: argparse.Namespace, config: DictConfig) -> Decoding:
    """Return the options of the training images, those that were typed aside."""
    pixel_range = args.pixel_range or config.dataset.get("pixel_range")
    max_megapixels = args.max_megapixels or config.dataset.get("max_megapixels", MEGAPIXELS)
    return create_decoding(pixel_range and list(pixel_range), max_megapixels)


def open_calibration(args: argparse.Namespace, meta: DatasetMeta) -> Calibration | None:
    """Return the map of --calibration, or None. Raises CalibrationError for one of another model's classes."""
    if args.calibration is None:
        return None
    calibration = read_calibration(locate_run(args.calibration, args.results))
    calibration.check_classes(meta.categories())
    return calibration


def choose_ids(args: argparse.Namespace, meta: DatasetMeta) -> ImageIds:
    """Return the image ids of --annotations, else the numbers that the names of the files are."""
    files = [*find_files(args.images)]
    return match_annotations(files, args.annotations, meta) if args.annotations else number_files(files)


def skip_unreadable(
    args: argparse.Namespace, decoding: Decoding, ids: ImageIds, unreadable: list[Unreadable]
) -> Iterator[Picture]:
    """Iterate the pictures; append files that cannot be read to `unreadable`."""
    for picture in iter_pictures(args.images, args.every, decoding, ids.sizes):
        if isinstance(picture, Unreadable):
            unreadable.append(picture)
        else:
            yield picture


def collect(
    predicted: Iterable[tuple[Picture, ImagePredictions]], predictions: list[ImagePredictions], meta: DatasetMeta
) -> Iterator[tuple[Picture, ImagePredictions]]:
    """Iterate what is predicted; print its objects, and append it to `predictions` without its areas of stuff."""
    console = Console(stderr=True, markup=False, emoji=False)
    for picture, image in predicted:
        yield picture, image
        console.print(f"{image.name}: {count_objects(image.records, meta)}", highlight=False, soft_wrap=True)
        predictions.append(replace(image, stuff=[]))  # it is drawn: maps of every picture would fill the memory


def file_of(image: ImagePredictions, videos: Collection[str]) -> str:
    """Return the name of the file of an image: of a frame that of its video."""
    name = image.name.rpartition("#")[0]
    return name if name in videos else image.name


def follow_objects(
    predicted: Iterable[tuple[Picture, ImagePredictions]], videos: Collection[str]
) -> Iterator[tuple[Picture, ImagePredictions]]:
    """Iterate what is predicted; give each record of a frame the number of its object as `track_id`."""
    trackers: dict[str, IoUTracker] = {}
    for picture, image in predicted:
        if (name := file_of(image, videos)) in videos:
            numbers = trackers.setdefault(name, IoUTracker()).update(image.records)
            for record, number in zip(image.records, numbers, strict=True):
                record["track_id"] = number
        yield picture, image


def paint_picture(picture: Picture, predictions: ImagePredictions, meta: DatasetMeta) -> Image.Image:
    image = Image.fromarray(picture.pixels)
    side = max(image.size)
    scale = min(1.0, MAX_SIDE / side) if side >= MIN_SIDE else MIN_SIDE / side
    return paint(image, mark_predictions(predictions.records, meta, 0.0), scale, predictions.stuff)


def save_picture(picture: Picture, predictions: ImagePredictions, meta: DatasetMeta, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    painted = paint_picture(picture, predictions, meta)
    painted.save(path, quality=QUALITY) if path.suffix == ".jpg" else painted.save(path)


def picture_path(name: str) -> Path:
    """Return the path of the picture of a file, in an own name for each: `a/b.png` -> `a/b.png.png`.

    That of a JPEG is a JPEG: `a/b.JPG` -> `a/b.JPG.jpg`.
    """
    ending = ".jpg" if Path(name).suffix.lower() in JPEG else ".png"
    return Path(f"{name.replace('#', '-')}{ending}")


def count_objects(records: Sequence[dict[str, Any]], meta: DatasetMeta) -> str:
    """Format the number of objects of each class: `2 cat, 1 dog`."""
    counts: dict[str, int] = {}
    for record in records:
        name = meta.classes[meta.category_ids.index(record["category_id"])]
        counts[name] = counts.get(name, 0) + 1
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "nothing"


def print_summary(
    args: argparse.Namespace, predictions: Sequence[ImagePredictions], unreadable: Sequence[Unreadable]
) -> None:
    for file in unreadable:
        print(f"{file.name}: {file.reason}", file=sys.stderr)
    count = sum(len(image.records) for image in predictions)
    pictures, objects = count_noun(len(predictions), "picture"), count_noun(count, "object")
    print(f"{pictures}, {objects} of score {args.score:g} or more -> {args.out}")
    if not count and (best := max((image.max_score for image in predictions), default=0.0)) > 0:
        print(f"the highest score was {best:.3f}: a lower --score shows more")
    if unreadable:
        print(f"{len(unreadable)} of {len(predictions) + len(unreadable)} could not be read", file=sys.stderr)


def print_unannotated(args: argparse.Namespace, names: Sequence[str]) -> None:
    """Name the pictures that the result file leaves out, because their ids are not those of an annotated image."""
    if names:
        print(f"pictures that are not in {args.annotations}: {len(names)}, such as {names[0]}. predictions.json has "
              "them, coco_results.json does not")  # fmt: skip
