"""`lineage explain`: pictures of the pixels that a detection's score depends on, and one page with all of them."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from lineage.cli.decoding import add_decoding_arguments, parse_images, parse_score
from lineage.cli.predict import choose_decoding, parse_count
from lineage.explain.effects import EFFECTS
from lineage.explain.explain_image import Request
from lineage.explain.explained_image import ExplainedImage
from lineage.explain.methods import ALIASES, BASELINES, DEFAULT, METHODS
from lineage.explain.page import render_page
from lineage.explain.sheet import save_sheet
from lineage.explain.targets import NAMES, parse_target
from lineage.report.image_sources import Unreadable, iter_pictures
from lineage.report.site.parts import FOLDER, PAGE
from lineage.results import paths
from lineage.results.count_noun import count_noun
from lineage.results.run_folder import RunFolder
from lineage.run.inference.explain import explain_picture
from lineage.run.inference.explain_run import explain_run, save_explanations
from lineage.run.inference.site_source import report_run
from lineage.run.restore import Restored, restore
from lineage.tables.find_entry import locate_run
from lineage.tables.suggest import did_you_mean


def main(argv: list[str]) -> int:
    """Return 0, or 1 if a file could not be read; the others are explained in either case."""
    args, overrides = parse(argv)
    restored = restore(args.weights, overrides, args.results, args.classes)
    restored.model.requires_grad_(False)
    judge = EFFECTS if args.judge else ()
    request = Request(args.method, args.target, args.detection, args.count, args.score, args.masks, judge)
    if not args.images:
        return explain_own_test(restored, args, request)
    args.out.mkdir(parents=True, exist_ok=True)
    images: list[ExplainedImage] = []
    unreadable = 0
    for picture in iter_pictures(args.images, args.every, choose_decoding(args, restored.config)):
        if isinstance(picture, Unreadable):
            print(f"{picture.name}: {picture.reason}", file=sys.stderr)
            unreadable += 1
            continue
        start = time.process_time()
        with torch.enable_grad():
            image = explain_picture(restored, picture, request)
        path = args.out / f"{picture.name.replace('#', '-')}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_sheet(image, path)
        images.append(image)
        detections = count_noun(len(image.detections), "detection")
        if not image.detections and image.max_score > 0:
            detections += f" (the highest score was {image.max_score:.3f}: a lower --score shows more)"
        print(f"{picture.name}: {detections}, {time.process_time() - start:.1f} CPU s -> {path}")
    if not images:
        print("no image could be read", file=sys.stderr)
        return 1
    (args.out / "explain.json").write_text(json.dumps([image.to_dict() for image in images], indent=1))
    page = args.out / "explain.html"
    page.write_text(render_page(images, restored.source), encoding="utf-8")
    print(f"{count_noun(len(images), 'picture')} -> {page}")
    return int(bool(unreadable))


def explain_own_test(restored: Restored, args: argparse.Namespace, request: Request) -> int:
    """Explain detections of the run's own test images in its report."""
    folder = Path(args.weights)
    with torch.enable_grad():
        explained = explain_run(restored, folder, request)
    if not explained:
        print(f"{folder}: no detection is right or wrong beyond doubt", file=sys.stderr)
        return 1
    path = save_explanations(folder, explained)
    site = folder.parent / FOLDER / PAGE
    report = report_run(folder, site if site.is_file() else None)
    print(f"{count_noun(len(explained), 'detection')} -> {path}, {report}")
    return 0


def parse(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return the arguments, and those among the images that are overrides."""
    parser = argparse.ArgumentParser(
        prog="lineage explain",
        description="Explain detections: maps of the pixels that a score depends on. Writes a picture per image "
        "(detections x methods), explain.html with toggles, and explain.json. docs/explain.md says what a map tells "
        "and what not. It runs on the CPU, so that pictures do not depend on the device.",
    )
    parser.add_argument("weights", metavar="RUN_OR_WEIGHTS", help="run folder, entry, file, URL or torchvision weight")
    parser.add_argument(
        "images",
        nargs="*",
        metavar="IMAGE|KEY=VALUE",
        help="default: the surest right and wrong detections of the run's own test, in its report",
    )
    parser.add_argument("--detection", type=parse_count, action="append", default=[], metavar="K",
                        help="the K-th best of each image; may be repeated (default: the best --count)")  # fmt: skip
    parser.add_argument("--count", type=parse_count, default=4, help="detections per image (%(default)s)")
    parser.add_argument("--method", type=parse_methods, default=list(DEFAULT), metavar="A,B",
                        help=f"all, or some of {', '.join(METHODS)}; to compare with: {', '.join(BASELINES)} "
                        f"(default: {','.join(DEFAULT)})")  # fmt: skip
    parser.add_argument("--target", default="class", type=parse_target_name,
                        help=f"the scalar: {', '.join(NAMES)} (default: class, its logit)")  # fmt: skip
    parser.add_argument("--masks", type=parse_count, default=500, help="masks of d_rise (%(default)s; paper: 5000)")
    parser.add_argument(
        "--judge",
        action="store_true",
        help="measure deletion, insertion, ROAD and sensitivity-n: 40 detections and 100 scores per map",
    )
    parser.add_argument("--score", type=parse_score, default=0.5, help="detections from this score on (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("explanations"), help="folder (%(default)s)")
    parser.add_argument("--every", type=parse_count, default=1, help="of a video, each N-th frame (%(default)s)")
    add_decoding_arguments(parser)
    parser.add_argument("--classes", help="names: a,b,c, a text file, or a JSON file with COCO's categories")
    parser.add_argument("--results", type=Path, default=paths.results(), help="the store of entries (%(default)s)")
    args, overrides = parse_images(parser, argv)
    if args.images:
        return args, overrides
    args.weights = str(locate_run(Path(args.weights), args.results))
    if not RunFolder(Path(args.weights)).entry.is_file():
        parser.error(f"name at least one image, folder or video: {args.weights} is no run folder, which has its own")
    return args, overrides


def parse_methods(text: str) -> list[str]:
    """Return the names of methods, each once."""
    if text == "all":
        return list(METHODS)
    names = [ALIASES.get(name, name) for name in text.replace("-", "_").split(",") if name]
    for name in names:
        if name not in (*METHODS, *BASELINES):
            raise argparse.ArgumentTypeError(
                f"method {name!r} is unknown. {did_you_mean(name, METHODS)} Methods: {', '.join(METHODS)}, or all; "
                f"to compare with: {', '.join(BASELINES)}"
            )
    if not names:
        raise argparse.ArgumentTypeError(f"no method; choose of {', '.join(METHODS)}, or all")
    return list(dict.fromkeys(names))


def parse_target_name(text: str) -> str:
    """Return the name of a target that exists."""
    try:
        parse_target(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text
