"""`lineage import`: runs of other code bases become foreign entries, which stand beside ours and are never mixed in."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from lineage.results import paths, store
from lineage.results.entry import Entry
from lineage.results.store import StoreError
from lineage.tables import read, tiers
from lineage.tables.foreign import detectron2
from lineage.tables.foreign.read import LAYOUTS, is_result_file, make_scored_run, read_runs
from lineage.tables.foreign.run import ForeignError, ForeignRun, Placement, make_entry
from lineage.tables.suggest import did_you_mean
from lineage.tables.table import TableError

EXAMPLES = """\
examples:
  lineage import output/mask_rcnn_R_50_FPN_1x --row mask_rcnn/table2c/roi_align
  lineage import work_dirs/retinanet_r50_fpn_1x_coco --model retinanet
  lineage import wandb_export.csv --metric box/AP=val/mAP --fractions
  lineage import coco_instances_results.json --annotations instances_val2017.json --config config.yaml"""


HEADLINE = ("box/AP", "mask/AP", "keypoint/AP", "panoptic/PQ")


def main(argv: Sequence[str]) -> int:
    parser = _parser()
    args = parser.parse_args(argv)
    experiments = paths.experiments()
    tiers.check_tier(experiments, args.tier)
    table, row = _find_row(experiments, args.row) if args.row else (None, None)
    placement = Placement(table, row, args.tier, args.model, args.dataset, args.note)
    named = dict(_parse_metric(text) for text in args.metric)
    entries = [make_entry(run, placement, path) for path in args.paths for run in _read(path, named, args)]
    for entry in entries:
        print(_describe(entry, "" if args.plan else _write(entry, args.results)))
    if args.plan:
        print("nothing was written: --plan")
        return 0
    shown = f"lineage table {table} --foreign" if table else "lineage table --runs --foreign"
    print(f"next     {shown}")
    return 0


def _read(path: Path, named: dict[str, str], args: argparse.Namespace) -> list[ForeignRun]:
    """Read the runs of a path, or score its result file if there are annotations."""
    if args.annotations is None:
        return read_runs(path, named, args.fractions)
    results = path if path.is_file() else path / detectron2.RESULTS
    if not results.is_file() or not is_result_file(results):
        raise ForeignError(f"{results}: --annotations scores a COCO result file, and this is none")
    from lineage.run.inference.evaluate_results import EvaluateOptions, evaluate_by_annotations

    scores = evaluate_by_annotations(results, args.annotations, EvaluateOptions())
    beside = path / detectron2.CONFIG
    config = args.config or (beside if beside.is_file() else None)
    return [make_scored_run(results, scores.metrics, config, args.annotations)]


def _write(entry: Entry, results: Path) -> str:
    """Write an entry -> what became of it."""
    try:
        store.write(entry, results)
    except StoreError:
        if (results / store.place(entry) / f"{entry.id}.json").is_file():
            return "is there already"
        raise
    return "imported"


def _describe(entry: Entry, outcome: str) -> str:
    names = [name for name in HEADLINE if entry.metrics.get(name) is not None]
    values = "  ".join(f"{name} {entry.metrics[name]:.1f}" for name in names or list(entry.metrics)[:2])
    place = f"{entry.table}/{entry.row}" if entry.table else entry.choices["model"]
    parts = [entry.id, entry.origin, place, entry.status, values or entry.error or "", outcome]
    return "  ".join(part for part in parts if part)


def _find_row(experiments: Path, name: str) -> tuple[str, str]:
    """Split TABLE/ROW; raise TableError if there is no such row."""
    table_name, _, row = name.rpartition("/")
    if table_name.count("/") != 1:
        raise TableError(f"--row {name}: write PAPER/TABLE/ROW, such as mask_rcnn/table2c/roi_align")
    table = read.load_table(experiments, table_name)
    if row not in table.rows:
        raise TableError(f"{table_name} has no row {row!r}. {did_you_mean(row, table.rows)}")
    return table_name, row


def _parse_metric(text: str) -> tuple[str, str]:
    ours, _, theirs = text.partition("=")
    if not ours or not theirs:
        raise TableError(f"--metric {text}: write OURS=THEIRS, such as box/AP=val/mAP")
    return ours, theirs


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lineage import", description=f"{__doc__}\n\nWhat can be read:\n{LAYOUTS}", epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="folders or files of runs")
    parser.add_argument("--row", metavar="PAPER/TABLE/ROW", help="the row that they are runs of (default: free runs)")
    parser.add_argument("--tier", default=tiers.PAPER, help="the tier that their cost is of (default: %(default)s)")
    parser.add_argument("--model", default="", help="a name for the model (default: that of the run)")
    parser.add_argument("--dataset", default="", help="what they were tested on (default: what their config says)")
    parser.add_argument("--metric", action="append", default=[], metavar="OURS=THEIRS", help="of a table of W&B")
    parser.add_argument("--fractions", action="store_true", help="the values of --metric are of 1, not in percent")
    parser.add_argument("--annotations", type=Path, metavar="FILE", help="score the result file with these")
    parser.add_argument("--config", type=Path, metavar="FILE", help="the config of a result file")
    parser.add_argument("--note", default="", help="a sentence that the entry keeps")
    parser.add_argument("--plan", action="store_true", help="print what would be imported, and write nothing")
    parser.add_argument("--results", type=Path, default=paths.results(), help="the store (default: %(default)s)")
    return parser
