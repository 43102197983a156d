"""`lineage data convert`: annotations of a labelling tool as COCO-format files beside the images."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from lineage.results.count_noun import count_noun
from lineage.results.paths import train_command

LAYOUTS = ("yolo", "via", "labelme", "voc")
LISTED = 5  # problems that are printed without --all


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="the images with their annotations")
    parser.add_argument("--from", dest="layout", choices=LAYOUTS, help="default: what its files look like")
    parser.add_argument("--out", type=Path, metavar="DIR", help="copy the images there as well; default: FOLDER itself")
    parser.add_argument("--skip-broken", action="store_true", help="leave out what cannot be read")
    parser.add_argument("--overwrite", action="store_true", help="write files again that exist")
    parser.add_argument("--all", action="store_true", help=f"list every problem; default: {LISTED}")


def run(args: argparse.Namespace) -> int:
    from lineage.data.convert.coco_files import write_files
    from lineage.data.convert.detect import READERS, find_layout
    from lineage.data.convert.json_files import find_unparsed, format_unparsed
    from lineage.data.convert.labelled import ConvertError, find_unmentioned

    folder, out = args.folder, args.out or args.folder
    if not folder.is_dir():
        print(f"{folder}: no such folder", file=sys.stderr)
        return 1
    try:
        layout = args.layout or find_layout(folder)
        if layout is None:
            message = f"{folder}: looks like none of {', '.join(LAYOUTS)}. Say which with --from"
            unparsed = find_unparsed(folder)
            raise ConvertError(f"{format_unparsed(unparsed)}.\n{message}" if unparsed else message)
        reading = READERS[layout].read(folder)
        if reading.problems and not args.skip_broken:
            print(format_problems(reading.problems, args), file=sys.stderr)
            return 1
        documents = write_files(reading, folder, out, overwrite=args.overwrite)
    except ConvertError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename or out}: {error.strerror}. Name another folder with --out", file=sys.stderr)
        return 1
    for path, document in documents.items():
        print(describe(path, document))
    if reading.problems:
        print(f"left out: {len(reading.problems)}, such as {reading.problems[0]}")
    if unmentioned := find_unmentioned(reading):
        print(
            f"left out: {count_noun(len(unmentioned), 'image')} of which no annotation file says anything, such as "
            f"{unmentioned[0]}. If nothing is to be found there, save it in the tool without objects"
        )
    print(explain_no_training(documents) or format_next(out.absolute()))
    return 0


def explain_no_training(documents: Mapping[Path, Mapping[str, Sequence[object]]]) -> str | None:
    """Return why no training can begin on the files that were written; None if one can."""
    train = [path for path in documents if path.stem not in ("val", "test")]
    if not train:
        return "no file for training: no annotations were found of images in a folder called train"
    if not any(documents[path]["annotations"] for path in train):
        return f"{train[0]}: no image has an object, so there is nothing to learn. Are their label files elsewhere?"
    return None


def format_next(folder: Path) -> str:
    place = shlex.quote(str(folder))
    return f"next     lineage data check {place}\n         {train_command()} {shlex.quote(f'finetune={folder}')}"


def format_problems(problems: list[str], args: argparse.Namespace) -> str:
    """Return the problems and the command that converts all the rest."""
    shown = problems if args.all else problems[:LISTED]
    more = f"\n  ... and {len(problems) - len(shown)} more: --all lists them" if len(shown) < len(problems) else ""
    lines = "\n".join(f"  {problem}" for problem in shown)
    words = [str(args.folder), *(["--from", args.layout] if args.layout else [])]
    words += [*(["--out", str(args.out)] if args.out else []), *(["--overwrite"] if args.overwrite else [])]
    return (
        f"nothing was written: {count_noun(len(problems), 'problem')}.\n{lines}{more}\n"
        f"Mend the files, or leave out what is named here:\n    lineage data convert {shlex.join(words)} --skip-broken"
    )


def describe(path: Path, document: dict[str, list[dict[str, object]]]) -> str:
    """Return a line on a file that was written."""
    annotations, classes = document["annotations"], len(document["categories"])
    counts = [
        count_noun(len(document["images"]), "image"), count_noun(len(annotations), "object"),
        f"{classes} class{'es' * (classes > 1)}",
        *(f"{number} with {name}" for name, key in (("masks", "segmentation"), ("keypoints", "keypoints"))
          if (number := sum(key in annotation for annotation in annotations))),
    ]  # fmt: skip
    without = len(document["images"]) - len({annotation["image_id"] for annotation in annotations})
    return f"{path}: {', '.join(counts)}" + (f"; {count_noun(without, 'image')} without objects" if without else "")
