"""`lineage calibrate RESULTS_OR_RUN`: fits a map from scores to probabilities on images, and measures it on others.

examples:
  lineage calibrate runs/<run>       or `last`, the newest run
  lineage calibrate detections.json --annotations instances_val2017.json --method isotonic --by class
  lineage calibrate test.json --annotations instances_test.json --fit val.json --fit-annotations instances_val.json
  lineage calibrate detections.json --annotations instances_val2017.json --compare temperature,bts,isotonic
  lineage calibrate rows.npz         softmax rows of a classifier: arrays `probabilities` [N, K] and `labels` [N]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lineage.calibration.calibration_file import TASKS
from lineage.calibration.fit import TARGETS, Choices, Measures
from lineage.calibration.reliability import find_interval
from lineage.calibration.score_map import AUGMENTED, GROUPINGS, METHODS
from lineage.cli.calibrate_rows import SUFFIX, calibrate_rows
from lineage.cli.decoding import parse_score
from lineage.results import paths
from lineage.results.count_noun import count_noun
from lineage.results.run_folder import RunFolder
from lineage.run.inference.calibrate import (
    DIAGRAM,
    Fitted,
    Results,
    calibrate,
    open_results,
    read_beside,
    write_fitted,
)
from lineage.tables.find_entry import locate_run
from lineage.tables.numbers import format_number

HALF = "half"
COLUMNS = ("D-ECE", "LaECE", "LaECE_0", "LaACE_0", "OCE", "Brier", "NLL", "AP", "oLRP")
DIGITS = {"NLL": 3}


def main(argv: Sequence[str]) -> int:
    parser = _parser()
    args, overrides = parser.parse_known_args(argv)
    if unknown := [text for text in overrides if text.startswith("-")]:
        parser.error(f"no such option: {' '.join(unknown)}")
    if overrides and not args.dataset:
        parser.error(f"{' '.join(overrides)}: overrides go with --dataset")
    if args.results.suffix == SUFFIX:
        return calibrate_rows(args.results, args.out or Path("calibration"), args.bins, read_seed(args.fit) or 0)
    check_augmented(parser, args)
    choices = Choices(args.method, tuple(args.by), args.target, args.bins, args.score)
    args.results = locate_run(args.results, paths.results())
    results = open_results(args.results, args.annotations, args.dataset, overrides)
    fit, seed = None, read_seed(args.fit)
    if seed is None:
        fit = open_fit(args, results)
    augmented = [read_beside(path, fit or results) for path in args.augmented]
    fitted = calibrate(
        results,
        fit,
        choices,
        task=args.task,
        seed=seed or 0,
        draws=args.draws,
        augmented=augmented,
        compare=args.compare,
    )
    path = write_fitted(choose_folder(args), fitted, results, fit, choices, seed or 0)
    print_fitted(fitted, choices)
    print(f"-> {path}, {path.with_name(DIAGRAM)}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lineage calibrate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%(prog)s RESULTS_OR_RUN [--annotations FILE | --dataset NAME [key=value ...]] [options]",
    )  # fmt: skip
    parser.add_argument(
        "results",
        type=Path,
        metavar="RESULTS_OR_RUN",
        help="a COCO result file, a run folder, or rows of a classifier as .npz",
    )
    truth = parser.add_mutually_exclusive_group()
    truth.add_argument("--annotations", type=Path, metavar="FILE", help="the ground truth: COCO or LVIS")
    truth.add_argument("--dataset", metavar="NAME", help="a dataset of conf/dataset; its validation split is the truth")
    halves = "half (default), half:SEED for another, or a result file or run on other images"
    parser.add_argument("--fit", default=HALF, metavar="HALF_OR_FILE", help=halves)
    same = "the ground truth of --fit FILE; default: that of RESULTS, with other images of it"
    parser.add_argument("--fit-annotations", type=Path, metavar="FILE", help=same)
    parser.add_argument("--method", choices=METHODS, default="platt", help="the map to keep (%(default)s)")
    methods = f"fit these, too, and print their measures: of {', '.join(METHODS)}"
    parser.add_argument("--compare", type=_names_of([*METHODS]), default=[], metavar="A,B", help=methods)
    parser.add_argument(
        "--by", type=_groups, default=[], metavar="A,B", help="a map for each class, size, or class,size"
    )
    parser.add_argument("--target", choices=TARGETS, default=TARGETS[0], help="what a score shall be (%(default)s)")
    parser.add_argument("--bins", type=_count, default=10, metavar="M", help="of bts, abts, histogram (%(default)s)")
    augmented = "for abts: results on augmented fit images, in the coordinates of the originals"
    parser.add_argument("--augmented", type=Path, action="append", default=[], metavar="FILE", help=augmented)
    parser.add_argument("--task", choices=TASKS, help="whose overlap counts; default: box before mask")
    parser.add_argument(
        "--score", type=parse_score, default=0.0, metavar="S", help="leave out detections below S (%(default)s)"
    )
    parser.add_argument(
        "--draws", type=_count, default=200, metavar="R", help="of the bootstrap over images (%(default)s)"
    )
    parser.add_argument(
        "--out", type=Path, help="folder of what is written; default: that of the run, else calibration"
    )
    return parser


def _names_of(choices: Sequence[str]) -> Callable[[str], list[str]]:
    """Return a parser of comma-separated names."""

    def parse(text: str) -> list[str]:
        names = text.split(",")
        if unknown := [name for name in names if name not in choices]:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)} is not among {', '.join(choices)}")
        return names

    return parse


def _groups(text: str) -> list[str]:
    """Return groupings in their order."""
    names = _names_of(GROUPINGS)(text)
    return [name for name in GROUPINGS if name in names]


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of 1 or more")
    return int(text)


def check_augmented(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """End with a usage error unless abts and --augmented come together."""
    uses = AUGMENTED in (args.method, *args.compare)
    if uses and not args.augmented:
        parser.error("abts is bts fitted on augmented images as well: name results on them, --augmented FILE")
    if args.augmented and not uses:
        parser.error("--augmented goes with --method abts or --compare abts")


def read_seed(text: str) -> int | None:
    """Return the seed of the halves, or None for a file."""
    name, _, seed = text.partition(":")
    return int(seed or 0) if name == HALF and (seed or "0").isdigit() else None


def open_fit(args: argparse.Namespace, results: Results) -> Results:
    """Return the results that the map is fitted on."""
    path = locate_run(Path(args.fit), paths.results())
    if args.fit_annotations or RunFolder(path).config.is_file():
        return open_results(path, args.fit_annotations, None, [])
    return read_beside(path, results)


def choose_folder(args: argparse.Namespace) -> Path:
    if args.out:
        return Path(args.out)
    return Path(args.results) if RunFolder(args.results).config.is_file() else Path("calibration")


def print_fitted(fitted: Fitted, choices: Choices) -> None:
    """Print a line for each map: measures of the test images with 95 % intervals, percent."""
    split = fitted.split
    images = count_noun(len(split.fit), "image")
    groups = f"a map by {' and '.join(choices.by)}" if choices.by else "one map for all"
    print(
        f"{choices.method}, {groups}, fitted on {images} ({count_noun(fitted.num_fitted, 'detection')}), "
        f"measured on {len(split.test)} others ({fitted.num_tested:,}); split {split.digest()[:12]}"
    )
    table = Table("", *COLUMNS, box=None)
    rows = {"raw": fitted.before, choices.method: fitted.after, **fitted.compared}
    for name, measures in rows.items():
        table.add_row(name, *(_format(measures, column) for column in COLUMNS))
    Console(width=None if sys.stdout.isatty() else 220, markup=False, emoji=False).print(table)
    print("; ".join(_describe_change(fitted, name) for name in ("D-ECE", "AP")))


def _describe_change(fitted: Fitted, name: str) -> str:
    low, high = find_interval(fitted.after.draws[name] - fitted.before.draws[name])
    change = fitted.after.values[name] - fitted.before.values[name]
    return f"{name} changes by {change:+.2f} [{low:+.2f}, {high:+.2f}]"


def _format(measures: Measures, name: str) -> str:
    digits = DIGITS.get(name, 1)
    low, high = find_interval(measures.draws[name])
    return (
        f"{format_number(measures.values[name], digits)}\n[{format_number(low, digits)}, {format_number(high, digits)}]"
    )
