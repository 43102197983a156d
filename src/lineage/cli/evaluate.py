"""`lineage evaluate RESULTS`: scores a result file, whoever made it, against a dataset or an annotation file.

examples:
  lineage evaluate detections.json --annotations annotations/instances_val2017.json
  lineage evaluate detections.json --dataset lvis dataset.root=data/lvis --extras fixed
  lineage evaluate comp4_results/ --dataset voc07 dataset.root=data/VOCdevkit --per-class
  lineage evaluate results/ --dataset cityscapes dataset.root=data/cityscapes
  lineage evaluate panoptic_results.json --annotations annotations/panoptic_val2017.json --json
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

import lineage.config.schema  # noqa: F401  (registers the schema)
from lineage.config import compose
from lineage.config.build import build
from lineage.eval.files.coco_results import ResultError
from lineage.eval.files.score_file import PROTOCOLS, score_file
from lineage.eval.predictions.collector import TASKS
from lineage.eval.scores import Scores
from lineage.results import paths

EXTRAS = ("lrp", "tide", "ious", "fixed")


def main(argv: Sequence[str]) -> int:
    parser = _parser()
    args, rest = parser.parse_known_args(argv)
    options = [text for text in rest if text.startswith("-")]
    if options:
        parser.error(f"no such option: {' '.join(options)}")
    args.overrides = rest
    if args.overrides and not args.dataset:
        parser.error(f"{' '.join(args.overrides)}: overrides go with --dataset")
    scores = _scores(args)
    if not scores.metrics:
        raise ResultError(f"{args.results}: nothing could be scored.")
    print(_as_json(scores)) if args.json else _show(scores, args.per_class)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lineage evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%(prog)s RESULTS (--annotations FILE | --dataset NAME [key=value ...]) [options]",
    )  # fmt: skip
    accepted = "JSON of COCO or panoptic; VOC's text files; Cityscapes' folder"
    parser.add_argument("results", type=Path, metavar="RESULTS", help=accepted)
    truth = parser.add_mutually_exclusive_group(required=True)
    truth.add_argument("--annotations", type=Path, metavar="FILE", help="a ground truth: COCO, LVIS, panoptic")
    truth.add_argument("--dataset", metavar="NAME", help="a dataset of conf/dataset; its validation split is the truth")
    parser.add_argument("--protocol", choices=PROTOCOLS, help="default: that of the dataset or annotations")
    parser.add_argument("--tasks", type=_listed(TASKS), metavar="A,B", help=f"of {', '.join(TASKS)}; default: all")
    parser.add_argument("--extras", type=_listed(EXTRAS), default=[], metavar="A,B", help=f"of {', '.join(EXTRAS)}")
    parser.add_argument("--per-class", action="store_true", help="a line for each class")
    parser.add_argument("--json", action="store_true", help="print JSON, in percent; null: nothing to measure")
    return parser


def _listed(known: Sequence[str]) -> Any:
    def names(text: str) -> list[str]:
        chosen = text.split(",")
        unknown = [name for name in chosen if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)} is not among {', '.join(known)}")
        return chosen

    return names


def _scores(args: argparse.Namespace) -> Scores:
    options: dict[str, Any] = {"tasks": args.tasks, "extras": args.extras, "protocol": args.protocol}
    if args.annotations:
        return score_file(args.results, args.annotations, **options)
    config = composed([f"dataset={args.dataset}", *args.overrides])
    evaluator = config.dataset.evaluator
    named = str(evaluator["_target_"]).split(".")[-2]
    options["protocol"] = args.protocol or (named if named in PROTOCOLS else None)
    options["sigmas"] = list(evaluator.get("sigmas") or []) or None
    return score_file(args.results, build(config.dataset.val).ground_truth(), **options)


def composed(overrides: list[str]) -> DictConfig:
    """conf/ with overrides; a typo ends in a message."""
    return compose.composed(paths.shipped(), overrides)


def _as_json(scores: Scores) -> str:
    document = {"metrics": _plain(scores.metrics), "classes": {n: _plain(v) for n, v in scores.per_class.items()}}
    return json.dumps(document, indent=1)


def _plain(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else float(value) for name, value in values.items()}


def _show(scores: Scores, per_class: bool) -> None:
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(_table("metric", scores.metrics))
    if per_class:
        columns = list(dict.fromkeys(name for values in scores.per_class.values() for name in values))
        table = Table("class", *columns, box=None)
        for name, values in scores.per_class.items():
            table.add_row(name, *(_number(values.get(column, math.nan)) for column in columns))
        console.print(table)


def _table(title: str, metrics: Mapping[str, float]) -> Table:
    """One row per task, as papers have it."""
    tasks = dict.fromkeys(name.partition("/")[0] for name in metrics)
    columns = dict.fromkeys(name.partition("/")[2] for name in metrics)
    table = Table(title, *tasks, box=None)
    for column in columns:
        table.add_row(column, *(_number(metrics.get(f"{task}/{column}", math.nan)) for task in tasks))
    return table


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"
