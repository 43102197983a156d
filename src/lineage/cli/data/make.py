"""`lineage data make`: write a drawn dataset in a public layout."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from lineage.results.count_noun import count_noun
from lineage.results.overrides import quote

LAYOUTS = ("coco", "lvis", "panoptic", "cityscapes", "voc", "deepfashion2", "penn_fudan")
DATASETS = {"shapes": LAYOUTS, "shapes_garments": ("deepfashion2",)}  # layouts, the usual one first
POLYGONS = ("coco", "lvis")  # layouts whose masks may be polygons
SMALLEST = 32  # pixels, a side of a drawn image


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", choices=DATASETS)
    parser.add_argument("directory", type=Path, metavar="DIR", help="a new or empty folder")
    default = "default: coco; of shapes_garments deepfashion2, which alone holds its landmarks"
    parser.add_argument("--as", dest="layout", choices=LAYOUTS, help=default)
    parser.add_argument("--size", type=parse_size, default=(240, 320), metavar="WIDTHxHEIGHT", help="default: 320x240")
    parser.add_argument("--images", type=parse_count, default=100, help="training images, default: 100")
    parser.add_argument("--val", type=parse_count, default=20, help="validation images, default: 20")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lossless", action="store_true", help="PNG in place of JPEG")
    parser.add_argument("--polygons", action="store_true", help="masks as polygons in place of RLE (coco, lvis)")


def parse_size(text: str) -> tuple[int, int]:
    """Parse WIDTHxHEIGHT and return (height, width)."""
    width, cross, height = text.partition("x")
    if not (cross and width.isdigit() and height.isdigit() and min(int(width), int(height)) >= SMALLEST):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not WIDTHxHEIGHT in pixels, each {SMALLEST} or more, for example 320x240"
        )
    return int(height), int(width)


def parse_count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of images, 1 or more")
    return int(text)


def run(args: argparse.Namespace) -> int:
    layouts = DATASETS[args.dataset]
    layout = args.layout or layouts[0]
    if layout not in layouts:
        print(
            f"--as {layout}: {args.dataset} is written --as {layouts[0]}, which alone holds its labels", file=sys.stderr
        )
        return 2
    if refusal := explain_unused_option(args, layout):
        print(refusal, file=sys.stderr)
        return 2
    if args.directory.exists() and (not args.directory.is_dir() or any(args.directory.iterdir())):
        print(f"{args.directory} is not empty, nothing was written: name a new folder, or delete it first:\n"
              f"    rm -r {shlex.quote(str(args.directory))}", file=sys.stderr)  # fmt: skip
        return 1
    try:
        for split, seed, length in (("train", 2 * args.seed, args.images), ("val", 2 * args.seed + 1, args.val)):
            write_split(args, layout, split, seed, length)
    except OSError as error:
        print(f"{error.filename or args.directory}: cannot be written ({error.strerror})", file=sys.stderr)
        return 1
    print(next_commands(args.dataset, layout, args.directory, args.val))
    return 0


def explain_unused_option(args: argparse.Namespace, layout: str) -> str | None:
    """Return why an option has no effect in a layout, or None. Cityscapes and Penn-Fudan are PNG already."""
    if args.lossless and layout == "deepfashion2":
        return "--lossless: the pictures of DeepFashion2 are image/*.jpg; leave it out"
    if args.polygons and layout not in POLYGONS:
        return f"--polygons: masks of {layout} are not polygons; leave it out, or --as {' or '.join(POLYGONS)}"
    return None


def next_commands(dataset: str, layout: str, folder: Path, val: int) -> str:
    """Return the commands to type next; layouts with fixed classes get the names of these."""
    from lineage.data.export.cityscapes import FIRST_LABEL
    from lineage.data.shapes.dataset import CLASSES
    from lineage.results.paths import train_command

    name = {"panoptic": "coco_panoptic", "voc": "voc12"}.get(layout, layout)
    landmarks = "model=deepmark " if dataset == "shapes_garments" else ""
    model = landmarks or {"panoptic": "model=panoptic_fpn ", "voc": "model=faster_rcnn "}.get(layout, "")
    labels = ",".join(f"{class_name}: {label}" for label, class_name in enumerate(CLASSES, FIRST_LABEL))
    more = {
        "penn_fudan": f" dataset.held_out={val}", "voc": f" 'dataset.names=[{','.join(CLASSES)}]'",
        "cityscapes": f" 'dataset.names={{{labels}}}'",
    }.get(layout, "")  # fmt: skip
    root = shlex.quote(f"dataset.root={quote(folder)}")
    train = f"{train_command()} {model}dataset={name} {root} tier=mini{more}"
    return f"check:  lineage data check {name} --root {shlex.quote(str(folder))}{more}\ntrain:  {train}"


def write_split(args: argparse.Namespace, layout: str, split: str, seed: int, length: int) -> None:
    from importlib import import_module

    from lineage.data.shapes.dataset import Shapes
    from lineage.data.shapes.garments import Garments

    draw = {"shapes": Shapes, "shapes_garments": Garments}[args.dataset]
    dataset = draw(seed=seed, length=length, size=args.size)
    suffix, polygons = {"suffix": "png" if args.lossless else "jpg"}, {"polygons": args.polygons}
    options = {
        "coco": suffix | polygons, "lvis": suffix | polygons, "panoptic": suffix, "voc": suffix, "deepfashion2": {},
        "cityscapes": {}, "penn_fudan": {},
    }[layout]  # fmt: skip
    path = import_module(f"lineage.data.export.{layout}").write(dataset, args.directory, split, **options)
    objects = len(dataset.object_labels().labels)
    print(f"{split}: {count_noun(length, 'image')}, {count_noun(objects, 'object')} -> {path}")
