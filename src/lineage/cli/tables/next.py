"""`lineage next --hours 10`: the runs that settle most claims per hour, over all tables; a plan for `lineage run`."""

from __future__ import annotations

import argparse
import shlex
from functools import partial
from pathlib import Path

from lineage.launch.claim_costs import ClaimCost, price_claims
from lineage.launch.cost_estimate import detect_device
from lineage.launch.current_rows import make_finder
from lineage.launch.lint import compose_all
from lineage.launch.next_claims import NextClaim, choose_next, format_next, list_cells
from lineage.launch.selection import parse_duration, select_rows
from lineage.launch.slurm_task import write_cell_names
from lineage.results import paths, store
from lineage.results.count_noun import count_noun
from lineage.tables import read, tiers
from lineage.tables.format.load import TableLoader
from lineage.tables.format.terminal import Grid, align
from lineage.tables.paper.page import build_table
from lineage.tables.samples import drop_superseded
from lineage.tables.table_noise import measure_noise

HEAD = ("chance", "minutes", "hours so far", "table", "claim", "by")


def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    experiments, project = paths.experiments(), paths.project()
    tiers.check_tier(experiments, args.tier)
    hours = parse_duration(args.hours, "--hours")
    # 1. The open claims of the tables, and what their runs cost.
    names = [] if args.scope is None else [args.scope]
    tables = [selected.table for selected in select_rows(experiments, names, everything=not names)]
    compose_all(project, [table for table in tables if table.effects], args.tier)
    loader = TableLoader(experiments, args.results, make_finder(project, experiments))
    claims = [claim for table in tables if table.effects for claim in build_table(loader, table.name).claims]
    entries = store.read_own(args.results)
    load = partial(read.load_table, experiments)
    hardware = args.hardware or detect_device()
    shared, costs = price_claims(project, experiments, load, claims, entries, args.tier, hardware)
    # 2. Those that settle most per hour.
    metrics = dict.fromkeys(claim.effect.metric for claim in claims)
    chosen = choose_next(costs, shared, measure_noise(drop_superseded(entries), metrics), hours)
    _report(chosen, costs, args)
    return 0


def _report(chosen: list[NextClaim], costs: list[ClaimCost], args: argparse.Namespace) -> None:
    hopeless = sum(bool(cost.obstacle) for cost in costs)
    unknown = sum(not cost.obstacle and cost.hours is None for cost in costs)
    text = f"{count_noun(len(costs), 'claim')} open; no run at tier {args.tier} settles {hopeless}"
    print(f"{text}{f', the cost of {unknown} is unknown' if unknown else ''}")
    if not chosen:
        print("nothing fits: more hours, or `lineage run --calibrate` where costs are unknown")
        return
    print(align(Grid(HEAD, format_next(chosen))))
    expected, total = sum(cost.chance for cost in chosen), sum(cost.hours for cost in chosen)
    print(
        f"{count_noun(len(chosen), 'claim')}, of which {expected:.1f} are expected to be settled, in {total:.1f} hours"
    )
    if args.out is None:
        print("next     the same with --out next.json, then lineage run --cells next.json")
        return
    write_cell_names(list_cells(chosen), args.out)
    print(f"next     lineage run --cells {shlex.quote(str(args.out))}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lineage next", description=__doc__)
    parser.add_argument("scope", nargs="?", help="a table or a paper (default: all tables)")
    parser.add_argument("--hours", default="10", help="for example 10, 90m or 2d (default: %(default)s)")
    parser.add_argument("--tier", default="mini", help="the tier of the runs (default: %(default)s)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the plan, for `lineage run --cells FILE`")
    parser.add_argument("--hardware", help="for the cost: part of a device's name (default: what is here)")
    parser.add_argument("--results", type=Path, default=paths.results(), help="the store (default: %(default)s)")
    return parser
