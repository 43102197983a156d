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
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lineage.eval.files.score_file import PROTOCOLS, SCORERS
from lineage.eval.scores import NAN, Scores
from lineage.eval.tasks import TASKS
from lineage.results import paths
from lineage.run.inference.evaluate_results import EvaluateOptions, evaluate_by_annotations, evaluate_by_dataset
from lineage.tables.find_entry import locate_run
from lineage.tables.numbers import format_number

EXTRAS = tuple(name for scorer in SCORERS.values() for name in scorer.extra_names)


def main(argv: Sequence[str]) -> int:
    parser = _parser()
    args, overrides = parser.parse_known_args(argv)
    options = [text for text in overrides if text.startswith("-")]
    if options:
        parser.error(f"no such option: {' '.join(options)}")
    if overrides and not args.dataset:
        parser.error(f"{' '.join(overrides)}: overrides go with --dataset")
    args.results = locate_run(args.results, paths.results())
    calibration = args.calibration and locate_run(args.calibration, paths.results())
    choices = EvaluateOptions(args.protocol, args.tasks, args.extras, args.sigmas, args.max_detections, calibration)
    if args.annotations:
        scores = evaluate_by_annotations(args.results, args.annotations, choices)
    else:
        scores = evaluate_by_dataset(args.results, args.dataset, overrides, choices)
    print(_to_json(scores)) if args.json else _print_tables(scores, args.per_class)
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
    parser.add_argument("--tasks", type=_names_of(TASKS), metavar="A,B", help=f"of {', '.join(TASKS)}; default: all")
    parser.add_argument("--extras", type=_names_of(EXTRAS), metavar="A,B", help=f"of {', '.join(EXTRAS)}")
    parser.add_argument("--sigmas", type=_numbers, metavar="A,B", help="tolerance of each keypoint; default: by name")
    limit = "detections that count per image and class; default: 100, of keypoints 20"
    parser.add_argument("--max-detections", type=int, metavar="N", help=limit)
    fitted = "change scores by this map of `lineage calibrate` first: a calibration.json, its run folder, or last"
    parser.add_argument("--calibration", type=Path, metavar="FILE", help=fitted)
    parser.add_argument("--per-class", action="store_true", help="a line for each class")
    parser.add_argument("--json", action="store_true", help="print JSON, in percent; null: nothing to measure")
    return parser


def _names_of(choices: Sequence[str]) -> Callable[[str], list[str]]:
    """Return a parser of comma-separated names."""

    def parse(text: str) -> list[str]:
        names = text.split(",")
        unknown = [name for name in names if name not in choices]
        if unknown:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)} is not among {', '.join(choices)}")
        return names

    return parse


def _numbers(text: str) -> list[float]:
    return [float(number) for number in text.split(",")]


def _to_json(scores: Scores) -> str:
    per_class = {name: _without_nan(values) for name, values in scores.per_class.items()}
    document = {"metrics": _without_nan(scores.metrics), "classes": per_class, "notes": scores.notes}
    return json.dumps(document, indent=1)


def _without_nan(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else float(value) for name, value in values.items()}


def _print_tables(scores: Scores, per_class: bool) -> None:
    console = Console(width=None if sys.stdout.isatty() else 200, markup=False, emoji=False)
    console.print(_table_by_task("metric", scores.metrics))
    for note in scores.notes:
        console.print(note, style="yellow", soft_wrap=True, highlight=False)
    if per_class:
        columns = list(dict.fromkeys(name for values in scores.per_class.values() for name in values))
        table = Table("class", *columns, box=None)
        for name, values in scores.per_class.items():
            table.add_row(name, *(format_number(values.get(column, NAN), 2) for column in columns))
        console.print(table)


def _table_by_task(title: str, metrics: Mapping[str, float]) -> Table:
    """Return a table with a column for each task."""
    tasks = dict.fromkeys(name.partition("/")[0] for name in metrics)
    columns = dict.fromkeys(name.partition("/")[2] for name in metrics)
    table = Table(title, *tasks, box=None)
    for column in columns:
        table.add_row(column, *(format_number(metrics.get(f"{task}/{column}", NAN), 2) for task in tasks))
    return table
