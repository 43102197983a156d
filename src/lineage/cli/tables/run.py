"""`lineage run TABLE [ROW ...]`: fill tables. Prints the plan, does what is missing, can be killed and called again."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import FrameType
from typing import NoReturn

from lineage.launch import slurm
from lineage.launch.cells import CellName, LoadTable
from lineage.launch.compose_rows import RowRequest
from lineage.launch.cost_estimate import CostEstimate, detect_device, estimate_costs
from lineage.launch.job import RunnerSettings
from lineage.launch.local import run_cells
from lineage.launch.network_speeds import CALIBRATED_TIER, CALIBRATION_ROWS, measure_networks
from lineage.launch.overview import format_plan
from lineage.launch.plan import BLOCKED, Plan, make_plan
from lineage.launch.selection import SEEDS, choose_within, list_cells, list_claim_cells, parse_duration, select_rows
from lineage.launch.slurm_task import read_cell_names, run_task
from lineage.results import paths, store
from lineage.results.count_noun import count_noun
from lineage.results.entry import Entry
from lineage.results.key_roles import VOLATILE, Role, role_of
from lineage.results.overrides import Override
from lineage.tables import read
from lineage.tables.samples import drop_superseded
from lineage.tables.table import TableError
from lineage.tables.tiers import check_tier

PLANNED = (Role.SEED, Role.OUTPUT, Role.PROCESS, Role.CELL, Role.PARENT, Role.TASK)  # the plan sets these keys

EPILOG = """examples
  lineage run mask_rcnn/table2c --tier mini --plan          what there is, what is missing, what it costs
  lineage run mask_rcnn/table2c --tier mini --seeds 3       five rows, three seeds, one process after the other
  lineage run mask_rcnn/table2c roi_pool roi_align --jobs 2 --set trainer.devices=4
  lineage run mask_rcnn/table2c/roi_align fpn/table1/fpn    rows of several tables
  lineage run mask_rcnn --tier mini --budget 3h             what three hours pay for, of all tables of a paper
  lineage run --claims experiments/first_claims.yaml        the rows of a list of claims, with the seeds that it plans
  lineage run --calibrate                                   measure this machine: a minute, then every plan has hours
  lineage run mask_rcnn/table2c --launcher slurm --jobs 8 --sbatch --gpus=8 --sbatch --time=24:00:00
"""


class FolderError(RuntimeError):
    """Results or runs that cannot be written; the message is the system's."""


def main(argv: list[str]) -> int:
    args = _parser().parse_intermixed_args(_join_sbatch(argv))
    project, experiments = paths.project(), paths.experiments()
    load_table = partial(read.load_table, experiments)
    hardware = args.hardware or detect_device()
    if args.calibrate:
        return _calibrate(args, hardware)
    names = _choose_cells(args, experiments)
    overrides = [_check_override(text) for text in args.set]
    settings = RunnerSettings(project, args.results.resolve(), args.runs.resolve(), overrides)
    entries = store.read_own(settings.results)
    retrain = frozenset(names if args.cell is not None else ()) if args.retrain_lost else None
    plan = make_plan(project, load_table, names, drop_superseded(entries), retrain)
    costs = estimate_costs(plan, entries, hardware, experiments) if args.cell is None else {}
    if args.budget is not None:
        plan = _keep_within(plan, parse_duration(args.budget, "--budget"), costs, load_table, entries)
    if args.cell is None:
        print(format_plan(plan, costs, hardware, experiments))
    if args.plan or not plan.open:
        return 1 if any(cell.must_succeed and plan.action(cell) == BLOCKED for cell in plan.cells.values()) else 0
    try:
        return _submit(plan, settings, args) if args.launcher == "slurm" else _run(plan, settings, args)
    except OSError as error:
        where = f"{error.filename or settings.results}: {error.strerror}"
        raise FolderError(f"{where}. --results and --runs name other places; what is done is kept") from error


def _join_sbatch(argv: list[str]) -> list[str]:
    """Join `--sbatch --gpus=8` to one word: argparse takes --gpus for an option of ours."""
    words = iter(argv)
    return [f"{word}={next(words, '')}" if word == "--sbatch" else word for word in words]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lineage run", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = "tables, for example mask_rcnn/table2c; rows, as mask_rcnn/table2c/roi_align or after their table; papers"
    parser.add_argument("names", nargs="*", metavar="TABLE [ROW ...]", help=names)
    parser.add_argument("--all", action="store_true", help="all tables")
    parser.add_argument("--budget", metavar="HOURS", help="only what fits into it, for example 3h: table by table")
    parser.add_argument("--calibrate", action="store_true", help="measure the speed of this machine at tier mini")
    cells = "the cells of a file, as `lineage next --out FILE` writes it"
    parser.add_argument("--cells", type=Path, metavar="FILE", help=cells)
    parser.add_argument("--claims", type=Path, metavar="FILE", help="the rows of a list of claims: docs/miniature.md")
    parser.add_argument("--tier", help="paper, mini or smoke (default: that of the table's file, most often paper)")
    seeds = f"how many, from 0 (default: as the table's file plans, else {SEEDS})"
    parser.add_argument("--seeds", type=int, help=seeds)
    lost = "train again finished rows that others test or start from, if their weights are not here, as in a clone"
    parser.add_argument("--retrain-lost", action="store_true", help=lost)
    parser.add_argument("--plan", action="store_true", help="print the plan and stop")
    parser.add_argument("--launcher", choices=["local", "slurm"], default="local")
    parser.add_argument("--jobs", type=int, help="cells at the same time (default: 1; on SLURM, what it has room for)")
    own = "an override of this machine, such as trainer.devices=8"
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help=own)
    parser.add_argument("--sbatch", action="append", default=[], metavar="OPTION", help="to sbatch: --sbatch --gpus=8")
    parser.add_argument("--hardware", help="for the cost: part of a device's name (default: what is here)")
    parser.add_argument("--results", type=Path, default=paths.results(), help="the store (default: %(default)s)")
    runs = paths.project() / "runs"
    parser.add_argument("--runs", type=Path, default=runs, help="run folders (default: %(default)s)")
    parser.add_argument("--cell", type=int, help=argparse.SUPPRESS)  # the number of one cell of --cells
    return parser


def _choose_cells(args: argparse.Namespace, experiments: Path) -> list[CellName]:
    """Return the cells that the command line names. Raises TableError."""
    if args.cells is not None:
        names = read_cell_names(args.cells)
        if args.cell is not None and not 0 <= args.cell < len(names):
            raise TableError(f"{args.cells}: holds {len(names)} cells and none of number {args.cell}")
        return names if args.cell is None else [names[args.cell]]
    if args.tier is not None:
        check_tier(experiments, args.tier)
    are_seeds = args.seeds is None or 1 <= args.seeds <= read.MOST_SEEDS
    if not are_seeds or (args.jobs is not None and args.jobs < 1):
        raise TableError(f"--seeds is 1 to {read.MOST_SEEDS}, --jobs 1 or more")
    if args.claims is not None:
        return list_claim_cells(args.claims, experiments, args.tier, args.seeds)
    return list_cells(select_rows(experiments, args.names, args.all), args.tier, args.seeds)


def _keep_within(
    plan: Plan, hours: float, costs: Mapping[CellName, CostEstimate], load_table: LoadTable, entries: list[Entry]
) -> Plan:
    """Return the plan of the cells that fit into the hours."""
    names = choose_within(plan, costs, hours)
    left = sum(cell.requested and plan.is_open(cell.name) and cell.name not in names for cell in plan.cells.values())
    if left:
        print(f"left out, as too long for {hours:g} hours or of unknown cost: {count_noun(left, 'cell')}")
    return make_plan(plan.project, load_table, names, drop_superseded(entries), plan.retrain)


def _calibrate(args: argparse.Namespace, hardware: str) -> int:
    """Measure a few networks, or those of the tables that are named."""
    experiments, project = paths.experiments(), paths.project()
    names = [(row.rpartition("/")[0], row.rpartition("/")[2]) for row in CALIBRATION_ROWS]
    if args.names or args.all:
        names = [
            (selected.table.name, row)
            for selected in select_rows(experiments, args.names, args.all)
            for row in selected.rows
        ]
    rows = [(table, read.load_table(experiments, table).rows[row]) for table, row in names]
    measured = measure_networks(
        project, [RowRequest(table, row, CALIBRATED_TIER) for table, row in rows], hardware, _log
    )
    for network, speed in sorted(measured.items()):
        text = f"{speed.step:.3f} s a step, {1000 * speed.image:.0f} ms a test image, {speed.other:.0f} s else"
        print(f"{network:<32} {text}")
    return 0 if measured else 1


def _check_override(text: str) -> str:
    """Return an override if it does not change what is computed: with others, the run would fill no cell."""
    override = Override.parse(text)
    if override.value is None:
        raise TableError(f"--set {text}: expected KEY=VALUE")
    if (today := override.today({})) != override:
        raise TableError(f"--set {text}: {override.name} is now {today.name}: --set {today}")
    role = role_of(override.key)
    if role in PLANNED:
        raise TableError(f"--set {text}: `lineage run` says that itself; see --seeds, --results and --runs")
    if role not in VOLATILE and override.key != "trainer":
        raise TableError(
            f"--set {text}: this is for what a machine needs, such as trainer.devices=8 or dataset.root=PATH. "
            "To change what is computed: python train.py -m experiment=<tier>/<paper>/<table>/<row> "
            f"{shlex.quote(text)} seed=0,1,2"
        )
    return text


def _submit(plan: Plan, settings: RunnerSettings, args: argparse.Namespace) -> int:
    folder = settings.runs / f"slurm-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    ids = slurm.submit(slurm.make_commands(plan, settings, folder, args.jobs, args.sbatch), print)
    print(f"handed in: {', '.join(ids)}; logs in {folder}; `squeue --me` shows them")
    return 0


def _run(plan: Plan, settings: RunnerSettings, args: argparse.Namespace) -> int:
    signal.signal(signal.SIGTERM, _interrupt)  # a job may write its entry, whoever ends us
    try:
        if args.cell is None:
            return _report_end(run_cells(plan, settings, args.jobs or 1, _log), settings)
        final = run_task(plan, settings, _log)
        return _report_end(final, settings) if final else 0
    except KeyboardInterrupt as stop:
        print("stopped; the same command goes on from the last checkpoints", file=sys.stderr)
        return 128 + (stop.args or (signal.SIGINT,))[0]


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt(number)


def _log(text: str) -> None:
    print(f"{datetime.now():%H:%M:%S}  {text}", flush=True)


def _report_end(plan: Plan, settings: RunnerSettings) -> int:
    """Print the next command, the page of all runs and what is not done; return the exit code."""
    tables = dict.fromkeys(cell.name.table for cell in plan.cells.values() if cell.requested)
    print("\n".join(f"next     lineage table {name}" for name in tables))
    site = _update_site(plan, settings)
    if site is not None:
        print(f"site     {site}")
    for cell in plan.cells.values():
        if cell.must_succeed and plan.action(cell) == BLOCKED:
            print(f"{cell.name} cannot run: {plan.decisions[cell.name].note}", file=sys.stderr)
    if plan.num_unfinished:
        print(f"not done: {count_noun(plan.num_unfinished, 'cell')}; the same command goes on", file=sys.stderr)
    return 1 if plan.num_unfinished else 0


def _update_site(plan: Plan, settings: RunnerSettings) -> Path | None:
    """Add the runs of a plan to the site, once for all jobs, and link the reports of the first jobs to it."""
    from lineage.run.inference.site_source import find_small_tests, link_reports, update_site

    entries = [decision.entry for decision in plan.decisions.values() if decision.entry is not None]
    site = update_site(settings.results, settings.runs, find_small_tests(entries, settings.runs), _log)
    if site is not None:
        link_reports(entries, settings.runs, site)
    return site
