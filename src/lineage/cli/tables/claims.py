"""`lineage claims`: run a sample of the claims that were shown here again; fail if one no longer holds.

The sample rotates with the day, so that all claims are run again in turn; it has one seed of both rows of each. The
runs go into a store of their own and are compared with those of the committed one (tables/claim_regression.py).
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from functools import partial
from pathlib import Path

from lineage.launch.cells import CellName
from lineage.launch.claim_costs import CostPlan
from lineage.launch.cost_estimate import detect_device, estimate_costs
from lineage.launch.current_rows import make_finder
from lineage.launch.job import RunnerSettings
from lineage.launch.local import run_cells
from lineage.launch.plan import make_plan
from lineage.launch.selection import list_open, parse_duration, select_rows
from lineage.results import paths, store
from lineage.results.count_noun import count_noun
from lineage.results.entry import Entry
from lineage.tables import read, tiers
from lineage.tables.claim_regression import Before, Drift, Recheck, find_drift, recheck
from lineage.tables.format.load import TableLoader
from lineage.tables.format.terminal import Grid, align
from lineage.tables.paper.page import build_table
from lineage.tables.paper.status import ClaimStatus, Status
from lineage.tables.samples import Setting, drop_superseded
from lineage.tables.table_noise import SampleTable

HEAD = ("claim", "before", "today", "change allowed", "verdict")


def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    experiments, project = paths.experiments(), paths.project()
    tiers.check_tier(experiments, args.tier)
    # 1. What the store has shown at this tier.
    loader = TableLoader(experiments, args.results, make_finder(project, experiments))
    shown, num_unknown = find_shown(loader, args.names, args.tier)
    if num_unknown:
        print(f"{count_noun(num_unknown, 'shown claim')} left out: the noise of one run of their rows is unknown")
    elif not shown:
        print(f"no claim is shown at tier {args.tier} by {args.results}: `lineage run --claims` fills tables")
    if not shown:
        return 0
    # 2. Those of today that fit into the time.
    load = partial(read.load_table, experiments)
    names = dict.fromkeys(name for before in shown for name in list_cells(before, args.tier, args.day))
    everything = make_plan(project, load, names, [])
    costs = CostPlan(everything, estimate_costs(everything, store.read_own(args.results), detect_device(), experiments))
    sample = choose_sample(shown, costs, parse_duration(args.budget, "--budget"), args.tier, args.day)
    print(f"{len(sample)} of {len(shown)} shown claims, {args.budget} at most")
    for before in sample:
        print(f"  {before.claim.table.name}: {before.claim.sentence}")
    if args.plan:
        return 0
    # 3. Their cells, in a store of their own.
    folder = args.runs / f"claims-{args.day}"
    settings = RunnerSettings(project, (folder / "results").resolve(), (folder / "runs").resolve())
    cells = dict.fromkeys(name for before in sample for name in list_cells(before, args.tier, args.day))
    plan = make_plan(project, load, cells, drop_superseded(store.read_own(settings.results)))
    final = run_cells(plan, settings, args.jobs, partial(print, flush=True))
    return report(sample, group_by_cell(store.read_own(settings.results)), final.num_unfinished)


def find_shown(loader: TableLoader, names: Sequence[str], tier: str) -> tuple[list[Before], int]:
    """Return the claims that the store shows at a tier, with the samples and the noise behind them.

    Also return the number of shown claims without them: rows of few seeds whose differences alone have a known noise.
    """
    shown: list[Before | None] = []
    for selection in select_rows(loader.experiments, names, everything=not names):
        name = selection.table.name
        if not selection.table.effects or not (loader.results / name).is_dir():
            continue
        filled = loader.load(name)
        samples = SampleTable(filled.table, drop_superseded(filled.entries), filled.background.measured)
        claims = build_table(loader, name).claims
        settings = [(claim, setting) for claim in claims if (setting := _find_setting(claim, tier)) is not None]
        shown += [_read_before(claim, setting, samples) for claim, setting in settings]
    complete = [before for before in shown if before is not None]
    return complete, len(shown) - len(complete)


def _find_setting(claim: ClaimStatus, tier: str) -> Setting | None:
    """Return the setting in which a claim is shown at a tier; None if it is not shown."""
    setting = None if claim.verdict is None else claim.verdict.setting
    return setting if claim.status == Status.SHOWN_SMALL and setting is not None and setting.tier == tier else None


def _read_before(claim: ClaimStatus, setting: Setting, samples: SampleTable) -> Before | None:
    """Return a shown claim with its samples; None if the noise of one run is unknown."""
    effect, noise = claim.effect, samples.noise(claim.effect.metric, setting).single
    better, worse = (samples.find(row, effect.metric).get(setting) for row in (effect.better, effect.worse))
    return None if noise is None or better is None or worse is None else Before(claim, better, worse, noise)


def list_cells(before: Before, tier: str, day: int) -> list[CellName]:
    """Return the cells of both rows with one of the seeds that both have, another one each day."""
    common = sorted({*before.better.seeds} & {*before.worse.seeds}) or [0]
    effect, seed = before.claim.effect, common[day % len(common)]
    return [CellName(before.claim.table.name, row, tier, seed) for row in (effect.better, effect.worse)]


def choose_sample(shown: Sequence[Before], costs: CostPlan, hours: float, tier: str, day: int) -> list[Before]:
    """Return the claims, from the day's place in the list on, whose cells fit into the hours together."""
    start = (day * 7) % len(shown)  # of a week, the days begin at places far apart
    sample: list[Before] = []
    paid: set[CellName] = set()
    for before in [*shown[start:], *shown[:start]]:
        needed = set[CellName]().union(*(list_open(costs.plan, name) for name in list_cells(before, tier, day))) - paid
        price = costs.sum_hours(needed)
        if price is not None and (costs.sum_hours(paid) or 0.0) + price <= hours:
            sample.append(before)
            paid |= needed
    return sample


def group_by_cell(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    cells: dict[str, list[Entry]] = defaultdict(list)
    for entry in drop_superseded(entries):
        cells[f"{entry.table}/{entry.row}"].append(entry)
    return cells


def report(sample: Sequence[Before], today: dict[str, list[Entry]], unfinished: int) -> int:
    """Print the claims and the drifted cells; return 1 if a claim is lost or a cell did not run."""
    checks, drifts = recheck(sample, today), find_drift(sample, today)
    print(align(Grid(HEAD, [format_check(check) for check in checks])) if checks else "nothing ran")
    for drift in drifts:
        print(format_drift(drift))
    lost = sum(check.is_lost for check in checks)
    if unfinished:
        print(f"{count_noun(unfinished, 'cell')} did not finish; the same command goes on")
    print(f"claims: {len(checks) - lost} held, {lost} lost; cells drifted: {len(drifts)}")
    return 1 if lost or unfinished else 0


def format_check(check: Recheck) -> list[str]:
    name = f"{check.claim.table.name}: {check.claim.effect.better} > {check.claim.effect.worse}"
    if check.claim.effect.kind == "equal":
        name = name.replace(">", "=")
    return [f"{name} ({check.claim.effect.metric})", f"{check.before:+.2f}", f"{check.today:+.2f}",
            f"± {check.change_margin:.2f}", "LOST" if check.is_lost else "holds"]  # fmt: skip


def format_drift(drift: Drift) -> str:
    return (f"drift: {drift.cell} {drift.metric} is {drift.today:.2f}, was {drift.before:.2f} ± {drift.margin:.2f}: "
            "code, a library or the machine has changed it")  # fmt: skip


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lineage claims", description=__doc__)
    parser.add_argument("names", nargs="*", help="tables or papers (default: all)")
    parser.add_argument("--budget", default="1h", help="time for all runs, such as 30m (default: %(default)s)")
    parser.add_argument("--tier", default="mini", help="the tier of the runs (default: %(default)s)")
    parser.add_argument("--day", type=int, default=date.today().toordinal(), help="the sample of another day's number")
    parser.add_argument("--jobs", type=int, default=1, help="cells at the same time (default: %(default)s)")
    parser.add_argument("--plan", action="store_true", help="print the sample and stop")
    parser.add_argument("--results", type=Path, default=paths.results(), help="the store (default: %(default)s)")
    parser.add_argument("--runs", type=Path, default=paths.project() / "runs", help="where the runs go")
    return parser
