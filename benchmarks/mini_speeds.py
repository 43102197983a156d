"""Measure every network of the tables at tier mini on one core, and write experiments/mini_speeds.yaml.

    OMP_NUM_THREADS=1 python benchmarks/mini_speeds.py --machine "one core of an AMD EPYC"

Each network runs 16 steps and tests 12 images; where other work shares the core, times are scaled to the share that the
run had of it. Half an hour; networks that the file has already are kept unless --all is given.
"""

from __future__ import annotations

import argparse
import resource
import time
from functools import partial

import yaml

from lineage.launch.compose_rows import RowRequest, compose_rows
from lineage.launch.network_speeds import CALIBRATED_TIER, REFERENCE, Speed, load_speeds, measure_speed, name_network
from lineage.results import paths
from lineage.results.atomic import atomic_write
from lineage.tables import read
from lineage.tables.table import TableError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--machine", required=True, help="what the times are of")
    parser.add_argument("--all", action="store_true", help="measure again what the file has")
    args = parser.parse_args()
    speeds = {} if args.all else dict(load_speeds(paths.experiments(), "").shipped)
    for network, request in sorted(list_networks().items()):
        if network in speeds:
            continue
        try:
            speeds[network] = measure_alone(request)
            print(network, speeds[network], flush=True)
        except TableError as error:
            print(error, flush=True)
        write(args.machine, speeds)


def list_networks() -> dict[str, RowRequest]:
    """Return network -> its first row that trains by itself."""
    experiments = paths.experiments()
    tables = map(partial(read.load_table, experiments), read.list_tables(experiments))
    requests = [
        RowRequest(table.name, row, CALIBRATED_TIER) for table in tables for row in table.rows.values() if row.runs
    ]
    alone = [request for request in requests if not request.row.uses]
    rows = compose_rows(paths.project(), alone)
    pairs = [(name_network(row.choices), request) for row, request in zip(rows, alone, strict=True) if not row.error]
    return dict(reversed(pairs))


def measure_alone(request: RowRequest) -> Speed:
    """Return the speed that a network has where nothing else shares its core."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    speed = measure_speed(paths.project(), request)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return speed.scale(min(1.0, busy / (time.perf_counter() - started)))


def write(machine: str, speeds: dict[str, Speed]) -> None:
    lines = [
        "# Seconds of a training step, of a test image, and of all else in a run, by <model>/<backbone> at tier mini.",
        "# Written by benchmarks/mini_speeds.py; `lineage run --calibrate` measures how much faster this machine is.",
        yaml.safe_dump({"machine": machine}).strip(),
        "seconds:",
        *(f"  {name}: [{one.step:.4f}, {one.image:.4f}, {one.other:.2f}]" for name, one in sorted(speeds.items())),
    ]
    atomic_write(paths.experiments() / REFERENCE, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
