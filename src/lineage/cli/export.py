"""`lineage export WEIGHTS OUT.onnx|OUT.pt2`: a trained model as one file that runs without this package.

The size of the image is fixed, or any with --size any; the numbers of detections are fixed. The file is run
on several images beside the model it came from before it counts as written. A JSON file beside it describes its inputs
and outputs, and a script beside it reads pictures, runs the file and writes COCO results without this package.
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from torch import Tensor

from lineage.calibration.calibration_file import read_calibration
from lineage.models.export.verify import REQUIRED_IMAGES, TOLERANCE
from lineage.results import paths
from lineage.run.inference.export import SIZE_DIVISIBILITY, SUFFIXES, Export, export_model
from lineage.run.restore import restore
from lineage.tables.find_entry import locate_run

ANY = "any"


def main(argv: list[str]) -> int:
    args = parse(argv)
    restored = restore(args.weights, args.overrides, args.results, args.classes)
    export = export_model(
        restored,
        args.out,
        size=None if args.size == ANY else args.size,
        any_size=args.size == ANY,
        batch=args.batch,
        proposals=args.proposals,
        tolerance=args.tolerance,
        calibration=read_calibration(locate_run(args.calibration, args.results)) if args.calibration else None,
    )
    size = tuple(export.inputs[0].shape[-2:])
    if args.size not in (None, ANY, size):
        print(explain_padding(args.size, size))
    print(format_export(args.out, export))
    return 0


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="lineage export", description=__doc__)
    parser.add_argument("weights", help="run folder, entry, file, URL or torchvision weight")
    parser.add_argument("out", type=Path, help="a new file: .onnx, or .pt2 (torch.export)")
    parser.add_argument("overrides", nargs="*", default=[], metavar="KEY=VALUE", help="of the config, as for train.py")
    parser.add_argument(
        "--size",
        type=parse_size,
        metavar="HxW|any",
        help="of the image; any: all sizes and batches (default: the run's)",
    )
    parser.add_argument("--proposals", type=int, default=0, help="given regions of an image (default: the run's)")
    parser.add_argument("--batch", type=int, default=1, help="images at once (%(default)s)")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, help="relative, of the check (%(default)s)")
    fitted = "calibrated scores, by this map of `lineage calibrate`: a calibration.json, its run folder, or last"
    parser.add_argument("--calibration", type=Path, metavar="FILE", help=fitted)
    parser.add_argument("--classes", help="names: a,b,c, a text file, or a JSON file with COCO's categories")
    parser.add_argument("--results", type=Path, default=paths.results(), help="the store of entries (%(default)s)")
    args = parser.parse_intermixed_args(argv)
    if args.out.suffix not in SUFFIXES:
        parser.error(f"{args.out}: the suffix determines the kind of file: {' or '.join(SUFFIXES)}")
    if args.batch < 1:
        parser.error("--batch is 1 or more")
    return args


def parse_size(text: str) -> tuple[int, int] | str:
    if text == ANY:
        return ANY
    height, cross, width = text.partition("x")
    if not (cross and height.isdigit() and width.isdigit() and min(int(height), int(width)) >= SIZE_DIVISIBILITY):
        raise argparse.ArgumentTypeError(f"{text!r} is not any, nor HEIGHTxWIDTH, each {SIZE_DIVISIBILITY} or more")
    return int(height), int(width)


def explain_padding(size: tuple[int, int], canvas: tuple[int, ...]) -> str:
    height, width = canvas
    return f"--size {size[0]}x{size[1]} is padded to {height}x{width}, as the model pads images at test time"


def format_export(path: Path, export: Export) -> str:
    verification = export.verification
    largest = max(verification.max_difference.values())
    lines = [
        f"{path}: {', '.join(map(format_tensor, export.inputs))} -> {', '.join(export.outputs)}",
        f"equal to the model on {REQUIRED_IMAGES} images: labels are the same, numbers differ by {largest:.1e}",
    ]
    if count := verification.uncertain_images:
        lines.append(f"left out: {count} images on which rounding decides what the model itself finds")
    if not export.any_size:
        height, width = export.inputs[0].shape[-2:]
        lines.append(f"takes pictures of up to {height} x {width} pixels after resizing; --size any takes all")
    if export.leaves_out_views:
        lines.append("the file detects in the plain image; `lineage predict` uses the run's test-time augmentation")
    lines += [
        f"what goes in and out: {export.description}",
        f"try: python {shlex.quote(str(export.script))} PICTURE",
    ]
    return "\n".join(lines)


def format_tensor(value: Tensor) -> str:
    return f"{' x '.join(map(str, value.shape))} {str(value.dtype).removeprefix('torch.')}"
