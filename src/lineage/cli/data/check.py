"""`lineage data check`: the defects of a dataset, a folder or one COCO-format file; exit code 1 if there is any.

It ends with the command that trains on the images, with defects on those without, if leaving them out is a remedy.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from omegaconf import DictConfig

from lineage.cli.data.named_dataset import (
    SPLITS,
    add_dataset_arguments,
    compose_config,
    open_split,
    replace_folder,
    splits_of,
)
from lineage.cli.data.next_command import (
    Checked,
    Remedy,
    choose_file_remedy,
    choose_remedy,
    name_training,
    print_next,
    share_a_file,
)
from lineage.cli.data.videos import check_frames, has_videos
from lineage.cli.decoding import add_decoding_arguments
from lineage.results.count_noun import count_noun
from lineage.results.overrides import quote

if TYPE_CHECKING:
    from lineage.data.annotations.defects import Defect
    from lineage.data.annotations.image_folder import ImageFolder
    from lineage.data.frames.triplets import FrameTriplets
    from lineage.data.samples.dataset import Dataset
    from lineage.data.samples.image import Decoding

LISTED = 5  # defects of a kind that are listed without --all
EXAMPLES = 5  # images that are looked for before the folder counts as the wrong one


def add_arguments(parser: argparse.ArgumentParser) -> None:
    splits = [split for split in SPLITS if split != "distilled"]  # labels are checked as they are read
    add_dataset_arguments(parser, default="train and val", splits=splits)
    parser.add_argument("--annotations", type=Path, metavar="FILE", help="a COCO-format JSON file in place of NAME")
    parser.add_argument("--images", type=Path, metavar="FOLDER", help="with --annotations; default: the file's folder")
    parser.add_argument("--all", action="store_true", help=f"list every defect; default: {LISTED} of a kind")
    add_decoding_arguments(parser)


def run(args: argparse.Namespace) -> int:
    if args.annotations:
        from lineage.data.samples.image import MEGAPIXELS, create_decoding

        decoding = create_decoding(args.pixel_range, args.max_megapixels or MEGAPIXELS)
        return check_file(
            args.annotations, args.images or args.annotations.parent, decoding, list_overrides(args), list_all=args.all
        )
    typed = list_overrides(args)
    args.overrides = [*typed]
    folder = replace_folder(args)
    config = compose_config(args)
    with only_errors("lineage.data.annotations.open_dataset"):  # its warnings are printed here in full
        checked: dict[str, Checked] = {}
        for split in splits_of(args, config):
            checked[split] = check_split(args.dataset, config, split, checked, list_all=args.all)
        remedy = choose_remedy(config, checked)
    count = sum(result.defects for result in checked.values())
    if {"train", "val"} <= checked.keys():
        odd = compare_splits(checked["train"].dataset, checked["val"].dataset)
        count, remedy = count + odd, None if odd else remedy
    if remedy and "train" in checked and checked["train"].dataset.source is not None:
        print_next(name_training(args, folder, typed, checked["train"].dataset), remedy)
    return int(count > 0)


def list_overrides(args: argparse.Namespace) -> list[str]:
    """Return the overrides that were typed, with the keys of --pixel-range and --max-megapixels."""
    if args.annotations and args.dataset and "=" not in args.dataset:
        args.error(f"name {args.dataset} or --annotations {args.annotations}, not both")
    overrides = [*([args.dataset] if args.annotations and args.dataset else []), *args.overrides]
    if args.pixel_range:
        overrides.append(f"dataset.pixel_range=[{','.join(f'{value:g}' for value in args.pixel_range)}]")
    if args.max_megapixels:
        overrides.append(f"dataset.max_megapixels={args.max_megapixels:g}")
    return overrides


def compare_splits(train: Dataset, val: Dataset) -> int:
    """Print what is odd about two splits together and return the number of things that make results wrong."""
    from lineage.data.annotations.compare_splits import explain_classes, explain_objects, explain_shared_images
    from lineage.data.annotations.indexed_dataset import IndexedDataset

    if difference := explain_classes(train.meta, val.meta):
        print(f"train and val: {difference}")
        return 1
    if not (isinstance(train, IndexedDataset) and isinstance(val, IndexedDataset)):
        return 0
    for note in explain_objects(train, val):
        print(f"note: {note}.")
    shared = explain_shared_images(train, val, every_file=True)
    print(f"train and val: {shared or 'no image is in both'}.")
    return int(shared is not None)


def check_split(
    name: str, config: DictConfig, split: str, checked: Mapping[str, Checked], *, list_all: bool
) -> Checked:
    """Print the defects of a split; return it without what is broken, and the number of defects.

    checked: splits before it; the defects of a file that two of them share are printed and counted once
    """
    from lineage.data.annotations.cures import format_cures
    from lineage.data.annotations.defects import UNUSABLE_FILE
    from lineage.data.annotations.validate import DatasetError

    unfiltered = {"filter_empty": False, "min_keypoints": 0}
    try:
        dataset = open_split(config, split, on_defect="drop", **unfiltered)
    except DatasetError:  # also if nothing is left: then this raises the reason
        dataset = open_split(config, split, on_defect="raise", **unfiltered)
    if dataset.source is None:
        print(f"{split}: {name} is drawn on demand; there is nothing on disk to check.")
        return Checked(dataset, 0)
    if has_videos(dataset):
        return Checked(dataset, check_frames(cast("FrameTriplets", dataset), split))
    for first_split, (earlier, _, _) in checked.items():
        if share_a_file(earlier, dataset):
            images = count_noun(len(dataset), "image")
            print(f"{split}: {images} of the file of {first_split}, which is checked above.")
            return Checked(dataset, 0)
    if cures := getattr(dataset, "cures", ()):
        print(format_cures(cures, dataset.source))
    defects = print_defects(dataset.find_defects(show_progress), dataset.source, list_all=list_all)
    if not defects:
        annotations, classes = len(dataset.object_labels().labels), len(dataset.meta.classes)
        counts = ", ".join(map(count_noun, (len(dataset), annotations, classes), ("image", "annotation", "category")))
        print(f"{split}: {dataset.source}: no defects. {counts}.")
    unusable = frozenset(defect.record for defect in defects if defect.kind == UNUSABLE_FILE)
    return Checked(dataset, len(defects), unusable)


def print_defects(defects: Iterable[Defect], source: Path, *, list_all: bool) -> list[Defect]:
    """Print defects by kind, and a note on objects without a mask, which are none; return the defects."""
    from lineage.data.annotations.defects import MISSING_MASK
    from lineage.data.annotations.validate import format_defects

    real: list[Defect] = []
    without_mask: list[Defect] = []
    for defect in defects:
        (without_mask if defect.kind == MISSING_MASK else real).append(defect)
    if real:
        print(format_defects(real, source, examples=len(real) if list_all else LISTED))
    if not list_all and max(Counter(defect.kind for defect in real).values(), default=0) > LISTED:
        print("To list all of them, add --all.")
    if without_mask:
        print(
            f"note: {MISSING_MASK.summary}: {len(without_mask)}, such as {without_mask[0].record}. Nothing stops for "
            "them: a model without a mask head learns their boxes, one with it is trained without them."
        )
        for defect in without_mask if list_all else ():
            print(f"    {defect.record}")
    return real


def check_file(file: Path, folder: Path, decoding: Decoding, typed: Sequence[str], *, list_all: bool) -> int:
    """Print the defects of a COCO-format file and of its images."""
    from lineage.data.annotations.compare_splits import explain_content
    from lineage.data.annotations.cures import CureLog, cure_files, format_cures
    from lineage.data.annotations.defects import find_defects
    from lineage.data.annotations.image_folder import ImageFolder
    from lineage.data.annotations.paths import DatasetPaths
    from lineage.data.annotations.validate import (
        DatasetError,
        check_image_files,
        decode_image,
        read_coco,
    )

    log, images = CureLog(), ImageFolder(folder)
    try:
        content = read_coco(file, "Name an existing file after --annotations.", log=log)
    except DatasetError as error:
        print(error)
        return 1
    cure_files(content["images"], images, decoding, log)
    if not any(has_file(images, record) for record in content["images"][:EXAMPLES]):
        name = content["images"][0].get("file_name")
        print(f"{folder}: holds none of the images, such as {name}. Name their folder after --images.")
        return 1
    if cures := log.cures():
        print(format_cures(cures, file))
    paths = DatasetPaths([file], folder, file, decoding=decoding)
    defects = [*find_defects(content), *check_image_files(show_progress(content["images"]), paths, decode_image)]
    named = [f"finetune={file.absolute()}", *typed]
    named += [] if folder == file.parent else [f"dataset.train.images={quote(folder.absolute())}"]
    if print_defects(defects, file, list_all=list_all):
        print_next(named, choose_file_remedy(defects, content["images"], paths))
        return 1
    for note in explain_content(content):
        print(f"note: {note}.")
    counts = ", ".join(f"{len(content[name])} {name}" for name in ("images", "annotations", "categories"))
    print(f"{file}: no defects. {counts}.")
    print_next(named, Remedy())
    return 0


def has_file(folder: ImageFolder, record: dict[str, Any]) -> bool:
    return isinstance(record.get("file_name"), str) and folder.has(record["file_name"])


def show_progress(records: Sequence[Any]) -> Iterable[Any]:
    """Show a progress bar on a terminal while the records are iterated."""
    from rich.console import Console
    from rich.progress import track

    return track(records, "decoding", transient=True, disable=not sys.stderr.isatty(), console=Console(stderr=True))


@contextmanager
def only_errors(logger: str) -> Iterator[None]:
    """Suppress a logger's warnings."""
    log = logging.getLogger(logger)
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)
