"""`lineage run TABLE [ROWS]`: fill a table. Prints the plan, does what is missing, can be killed and called again."""

from __future__ import annotations

import argparse
import signal
import sys
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from lineage.launch import cost_estimate, local, plan, slurm, slurm_task
from lineage.launch.job import Site
from lineage.launch.plan import BLOCKED, DONE, SPARED, TEST, TRAIN, Name, Plan
from lineage.results import paths, store
from lineage.results.entry import Entry
from lineage.results.key_roles import VOLATILE, Role, role_of
from lineage.results.overrides import Override
from lineage.tables import read
from lineage.tables.format.terminal import Grid, align
from lineage.tables.samples import drop_superseded
from lineage.tables.suggest import did_you_mean
from lineage.tables.table import Table, TableError
from lineage.tables.tiers import PAPER, load_tiers

STOPPED = 130  # the exit code of Ctrl-C

PLANNED = (Role.SEED, Role.OUTPUT, Role.PROCESS, Role.CELL, Role.PARENT, Role.TASK)  # the plan sets these keys

EPILOG = """examples
  lineage run mask_rcnn/table2c --tier mini --plan          what there is, what is missing, what it costs
  lineage run mask_rcnn/table2c --tier mini --seeds 3       five rows, three seeds, one process after the other
  lineage run mask_rcnn/table2c roi_pool roi_align --jobs 2 --set trainer.devices=4
  lineage run mask_rcnn/table2c --launcher slurm --jobs 8 --sbatch --gpus=8 --sbatch --time=24:00:00
"""


class SiteError(RuntimeError):
    """Results or runs cannot be written; the message is the system's."""


def main(argv: list[str]) -> int:
    asked = _parser().parse_intermixed_args(_joined(argv))
    project = paths.project()
    tables = partial(read.load_table, paths.experiments())
    names = _names(asked, project, tables)
    site = Site(project, asked.results.resolve(), asked.runs.resolve(), [_override(text) for text in asked.set])
    held = store.contents(site.results).entries
    planned = plan.make(project, site.results, tables, names, drop_superseded(held))
    if asked.cell is None:
        print(overview(planned, held, asked.hardware or cost_estimate.device(), paths.experiments()))
    if asked.plan or not planned.open:
        return 1 if any(cell.action == BLOCKED and cell.wanted for cell in planned.cells.values()) else 0
    try:
        return _slurm(planned, site, asked) if asked.launcher == "slurm" else _here(planned, site, asked)
    except OSError as error:
        where = f"{error.filename or site.results}: {error.strerror}"
        raise SiteError(f"{where}. --results and --runs name other places; what is done is kept") from error


def _joined(argv: list[str]) -> list[str]:
    """`--sbatch --gpus=8` as one word: argparse takes --gpus for an option of ours."""
    words = iter(argv)
    return [f"{word}={next(words, '')}" if word == "--sbatch" else word for word in words]


def overview(planned: Plan, held: list[Entry], hardware: str, experiments: Path) -> str:
    """A line per row: what its seeds need; below, the sum."""
    prices = {cell.name: cost_estimate.estimate(cell, held, hardware, experiments) for cell in planned.open}
    shown, body = [cell for cell in planned.cells.values() if cell.action != SPARED], []
    same = repeats(planned)
    for row in dict.fromkeys((cell.name.table, cell.name.row, cell.name.tier) for cell in shown):
        cells = [cell for cell in shown if cell.name[:3] == row]
        hours = [prices[cell.name].hours for cell in cells if cell.name in prices]
        known = [value for value in hours if value is not None]
        cost = "-" if not hours else _rounded(sum(known)) if len(known) == len(hours) else "unknown"
        counts = [sum(cell.action == action for cell in cells) for action in (DONE, TRAIN, TEST)]
        seeds = ",".join(str(cell.name.seed) for cell in cells)
        notes = dict.fromkeys(cell.note for cell in cells if cell.note)
        basis = dict.fromkeys(prices[cell.name].basis for cell in cells if cell.name in prices)
        own = "" if any(cell.asked for cell in cells) else "others need it"
        text = "; ".join(filter(None, [own, same.get(row, ""), *notes, *basis]))
        body.append([f"{row[0]}/{row[1]}", row[2], seeds, *map(str, counts), cost, text])
    head = ["row", "tier", "seeds", "done", "train", "test", "hours", ""]
    return f"{align(Grid(head, body))}\n{_sum(planned, prices, hardware)}"


def repeats(planned: Plan) -> dict[tuple[str, str, str], str]:
    """Rows that are, at their tier, the experiment of a row above: no claim about the two can be judged there."""
    first: dict[tuple[str, int], Name] = {}
    told = {}
    for name, cell in planned.cells.items():
        above = first.setdefault((cell.cell_digest, name.seed), name)
        if cell.cell_digest and above[:3] != name[:3] and above.table == name.table:
            told[name.table, name.row, name.tier] = f"same run as {above.row} at this tier"
    return told


def _sum(planned: Plan, prices: dict[Name, cost_estimate.Price], hardware: str) -> str:
    actions = [cell.action for cell in planned.cells.values()]
    counts = f"{actions.count(DONE)} cells are done, {actions.count(TRAIN)} to train, {actions.count(TEST)} to test"
    blocked = f", {actions.count(BLOCKED)} cannot run" if BLOCKED in actions else ""
    return f"{counts}{blocked}: {_cost(list(prices.values()), hardware)}"


def _cost(prices: list[cost_estimate.Price], hardware: str) -> str:
    """Hours of each device; what is not known is not counted as nothing."""
    devices: defaultdict[str, float] = defaultdict(float)
    for one in prices:
        if one.hours is not None:
            devices[one.device] += one.hours
    unknown = sum(one.hours is None for one in prices)
    if not prices or not devices:
        return f"cost on {hardware} unknown" if prices else "nothing to do"
    more = f" and {unknown} cells of unknown cost" if unknown else ""
    return " + ".join(f"{_rounded(hours)} hours of one {device}" for device, hours in devices.items()) + more


def _rounded(hours: float) -> str:
    return f"{hours:.2f}" if hours < 10 else f"{hours:,.0f}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lineage run", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", nargs="?", help="for example mask_rcnn/table2c")
    parser.add_argument("rows", nargs="*", help="rows of it (default: all)")
    parser.add_argument("--tier", default=PAPER, help="paper, mini or smoke (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0 (default: %(default)s)")
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
    parser.add_argument("--cells", type=Path, help=argparse.SUPPRESS)  # a list of cells, and which of them to do
    parser.add_argument("--cell", type=int, help=argparse.SUPPRESS)
    return parser


def _names(asked: argparse.Namespace, project: Path, tables: Callable[[str], Table]) -> list[Name]:
    if asked.cells is not None:
        return [slurm_task.name(asked.cells, asked.cell)]
    if asked.table is None:
        raise TableError("which table? `lineage table --all` lists them")
    known = [PAPER, *load_tiers(project / "experiments")]
    if asked.tier not in known:
        raise TableError(f"there is no tier {asked.tier!r}. {did_you_mean(asked.tier, known)}")
    if asked.seeds < 1 or (asked.jobs is not None and asked.jobs < 1):
        raise TableError("--seeds and --jobs are 1 or more")
    named, _, row = asked.table.removesuffix(".yaml").rpartition("/")
    cell = named in read.list_tables(project / "experiments")  # mask_rcnn/table2c/roi_align, as the plan prints it
    table = tables(named if cell else asked.table.removesuffix(".yaml"))
    rows = [row, *asked.rows] if cell else asked.rows
    for row in rows:
        if row not in table.rows:
            raise TableError(f"table {table.name} has no row {row!r}. {did_you_mean(row, table.rows)}")
    rows = rows or [row.name for row in table.rows.values() if row.quoted is None]
    return [Name(table.name, row, asked.tier, seed) for seed in range(asked.seeds) for row in rows]


def _override(text: str) -> str:
    """What changes the result would make another cell of it, which this table would never find."""
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
            f"To change what is computed: python train.py -m experiment=<tier>/<paper>/<table>/<row> {text} seed=0,1,2"
        )
    return text


def _slurm(planned: Plan, site: Site, asked: argparse.Namespace) -> int:
    folder = site.runs / f"slurm-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    ids = slurm.submit(slurm.scripts(planned, site, folder, asked.jobs, asked.sbatch), print)
    print(f"handed in: {', '.join(ids)}; logs in {folder}; `squeue --me` shows them")
    return 0


def _here(planned: Plan, site: Site, asked: argparse.Namespace) -> int:
    say: Callable[[str], None] = lambda text: print(f"{datetime.now():%H:%M:%S}  {text}", flush=True)  # noqa: E731
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a job may write its entry, whoever ends us
    try:
        left = (
            local.run(planned, site, asked.jobs or 1, say) if asked.cell is None else slurm_task.run(planned, site, say)
        )
    except KeyboardInterrupt:
        print("stopped; the same command goes on from the last checkpoints", file=sys.stderr)
        return STOPPED
    return _end(planned, left)


def _end(planned: Plan, left: int) -> int:
    names = dict.fromkeys(cell.name.table for cell in planned.cells.values() if cell.asked)
    print("\n".join(f"next     lineage table {name}" for name in names))
    for cell in planned.cells.values():
        if cell.wanted and cell.action == BLOCKED:
            print(f"{cell.name} cannot run: {cell.note}", file=sys.stderr)
    if left:
        print(f"{left} cells are not done; the same command goes on with them", file=sys.stderr)
    return 1 if left else 0
