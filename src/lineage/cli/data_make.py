"""`lineage data make`: write the embedded dataset in a public layout."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

LAYOUTS = ("coco", "lvis", "panoptic", "cityscapes", "voc", "deepfashion2", "penn_fudan")
SMALLEST = 32  # pixels, a side of an image of shapes


def main(argv: list[str]) -> int:
    return make(parser().parse_args(argv))


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="lineage data", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="make")
    make = commands.add_parser("make", help="write the embedded dataset to disk")
    make.add_argument("dataset", choices=["shapes"])
    make.add_argument("directory", type=Path, metavar="DIR", help="a new or empty folder")
    make.add_argument("--as", dest="layout", choices=LAYOUTS, default="coco", help="default: coco")
    make.add_argument("--size", type=extent, default=(240, 320), metavar="WIDTHxHEIGHT", help="default: 320x240")
    make.add_argument("--images", type=count, default=100, help="training images, default: 100")
    make.add_argument("--val", type=count, default=20, help="validation images, default: 20")
    make.add_argument("--seed", type=int, default=0)
    make.add_argument("--lossless", action="store_true", help="PNG in place of JPEG")
    make.add_argument("--polygons", action="store_true", help="masks as polygons in place of RLE (coco, lvis)")
    return top


def extent(text: str) -> tuple[int, int]:
    """WIDTHxHEIGHT as (height, width)."""
    width, cross, height = text.partition("x")
    if not (cross and width.isdigit() and height.isdigit() and min(int(width), int(height)) >= SMALLEST):
        told = f"{text!r} is not WIDTHxHEIGHT in pixels, each {SMALLEST} or more, for example 320x240"
        raise argparse.ArgumentTypeError(told)
    return int(height), int(width)


def count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of images, 1 or more")
    return int(text)


def make(args: argparse.Namespace) -> int:
    if args.directory.exists() and (not args.directory.is_dir() or any(args.directory.iterdir())):
        print(f"{args.directory} is not empty, nothing was written: name a new folder, or delete it first:\n"
              f"    rm -r {args.directory}", file=sys.stderr)  # fmt: skip
        return 1
    try:
        for split, seed, length in (("train", 2 * args.seed, args.images), ("val", 2 * args.seed + 1, args.val)):
            write(args, split, seed, length)
    except OSError as error:
        print(f"{error.filename or args.directory}: cannot be written ({error.strerror})", file=sys.stderr)
        return 1
    print(following(args.layout, args.directory, args.val))
    return 0


def following(layout: str, folder: Path, val: int) -> str:
    """What to type next; layouts with classes of their own must be told of others."""
    from lineage.data.export.cityscapes import FIRST
    from lineage.data.shapes.dataset import CLASSES

    name = {"panoptic": "coco_panoptic", "voc": "voc12"}.get(layout, layout)
    model = {"panoptic": "model=panoptic_fpn ", "voc": "model=faster_rcnn "}.get(layout, "")
    numbered = ",".join(f"{one}: {number}" for number, one in enumerate(CLASSES, FIRST))
    more = {
        "penn_fudan": f" dataset.held_out={val}", "voc": f" 'dataset.names=[{','.join(CLASSES)}]'",
        "cityscapes": f" 'dataset.names={{{numbered}}}'",
    }.get(layout, "")  # fmt: skip
    train = f"python train.py {model}dataset={name} dataset.root={folder} tier=mini{more}"
    return f"check:  lineage data check {name} --root {folder}{more}\ntrain:  {train}"


def write(args: argparse.Namespace, split: str, seed: int, length: int) -> None:
    from importlib import import_module

    from lineage.data.shapes.dataset import Shapes

    dataset = Shapes(seed=seed, length=length, size=args.size)
    image, mask = {"form": "png" if args.lossless else "jpg"}, {"polygons": args.polygons}
    options = {
        "coco": image | mask, "lvis": image | mask, "panoptic": image, "voc": image, "deepfashion2": {},
        "cityscapes": {}, "penn_fudan": {},
    }[args.layout]  # fmt: skip
    where = import_module(f"lineage.data.export.{args.layout}").write(dataset, args.directory, split, **options)
    print(f"{split}: {length} images, {len(dataset.ground_truth()['annotations'])} objects -> {where}")
