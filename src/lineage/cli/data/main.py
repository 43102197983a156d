"""`lineage data`: make, convert, split, fetch, check, count and look at datasets by the name they have in dataset=NAME.

lineage data convert FOLDER
lineage data split all.json --val 0.2 --group '^[^_]+'
lineage data prepare voc07 DIR
lineage data check voc07 --root DIR
lineage data stats coco --root DIR --split val --plot classes.png
lineage data show lvis --root DIR augment=lsj --out samples.png
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from lineage.cli.data import check, convert, make, prepare, show, split, stats
from lineage.tables.suggest import did_you_mean

AddArguments = Callable[[argparse.ArgumentParser], None]
Run = Callable[[argparse.Namespace], int]

COMMANDS: dict[str, tuple[str, AddArguments, Run]] = {
    "make": ("write a drawn dataset in a public layout", make.add_arguments, make.run),
    "prepare": ("fetch a dataset, or say what to fetch and where to put it", prepare.add_arguments, prepare.run),
    "convert": ("write YOLO, VIA, labelme or VOC folders as COCO-format files", convert.add_arguments, convert.run),
    "split": ("divide a COCO-format file into train, val and test", split.add_arguments, split.run),
    "check": ("find every broken image, box, mask and id", check.add_arguments, check.run),
    "stats": ("distributions of classes and sizes, printed and plotted", stats.add_arguments, stats.run),
    "show": ("samples as training sees them, after augmentation", show.add_arguments, show.run),
}


def main(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print(__doc__)
        print("\n".join(f"  {name:<8} {text}" for name, (text, _, _) in COMMANDS.items()))
        return 0
    name = argv[0]
    if name not in COMMANDS:
        print(f"lineage data has no {name!r}. {did_you_mean(name, COMMANDS)}", file=sys.stderr)
        return 2
    text, add_arguments, run = COMMANDS[name]
    parser = argparse.ArgumentParser(prog=f"lineage data {name}", description=text)
    add_arguments(parser)
    return run(parser.parse_intermixed_args(argv[1:]))
