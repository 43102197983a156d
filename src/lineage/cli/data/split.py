"""`lineage data split`: one COCO-format file as files for training, validation and test."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path

from lineage.results.count_noun import count_noun
from lineage.results.overrides import quote
from lineage.results.paths import train_command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="a COCO-format JSON file")
    parser.add_argument("--images", type=Path, metavar="FOLDER", help="default: the file's folder")
    parser.add_argument("--val", type=float, default=0.2, metavar="SHARE", help="default: 0.2")
    parser.add_argument("--test", type=float, metavar="SHARE", help="default: no such file")
    parser.add_argument(
        "--group",
        metavar="KEY",
        help="of groups of images that stay together: of the image records, or a regular expression on file names",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: the file's folder")
    parser.add_argument("--overwrite", action="store_true", help="write files again that exist")


def run(args: argparse.Namespace) -> int:
    from lineage.data.annotations.validate import DatasetError, read_coco
    from lineage.data.convert.labelled import ConvertError
    from lineage.data.convert.split import check_shares, split_document
    from lineage.results.atomic import atomic_write

    shares = {"val": args.val} | ({} if args.test is None else {"test": args.test})
    out, images = args.out or args.file.parent, args.images or args.file.parent
    try:
        check_shares(list(shares.values()))
        content = read_coco(args.file, "Name an existing file.")
        documents = {
            out / f"{split}.json": part for split, part in split_document(content, shares, args.group, images).items()
        }
        if existing := [str(path) for path in documents if path.exists() and not args.overwrite]:
            raise ConvertError(f"{', '.join(existing)}: exists. Add --overwrite to write it again")
        out.mkdir(parents=True, exist_ok=True)
        for path, document in documents.items():
            atomic_write(path, json.dumps(document))
            counts = (count_noun(len(document[key]), key.removesuffix("s")) for key in ("images", "annotations"))
            print(f"{path}: {', '.join(counts)}")
    except (DatasetError, ConvertError) as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename or out}: {error.strerror}", file=sys.stderr)
        return 1
    print(format_next(out.absolute(), images.absolute()))
    return 0


def format_next(folder: Path, images: Path) -> str:
    """Return the commands that check the files and train on them, with the keys that the folder alone leaves open."""
    from lineage.config.build import ConfigError
    from lineage.run.finetune.layout import read_layout

    keys = {f"dataset.{split}.annotations": f"{split}.json" for split in ("train", "val")}
    typed = dict[str, str]()
    try:
        is_clear = {f"{key}={value}" for key, value in keys.items()} <= {*read_layout(folder).overrides}
    except ConfigError:
        is_clear = False
    if not is_clear:
        typed = keys | {f"dataset.{split}.images": quote(images) for split in ("train", "val")}
    words = [f"{key}={value}" for key, value in typed.items()]
    check = shlex.join(["lineage", "data", "check", str(folder), *words])
    return f"next     {check}\n         {shlex.join([*train_command().split(), f'finetune={folder}', *words])}"
