"""`lineage latency RUN|FILE.onnx|KEY=VALUE`: how long one image takes, and how much power, as an entry of the store.

A run, an entry or a file of weights is measured by torch, an exported .onnx file by ONNX Runtime on the CPU: the median
and the 95th percentile of single calls on one drawn image, without reading, resizing and pasting. Overrides alone, such
as model=centernet_mobilenet dataset.classes=80, are the model that they compose, with random weights. An entry is
written for each number of threads; it records the machine, and claims nothing about precision.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path

import torch

from lineage.cli.export import ANY, explain_padding, parse_size
from lineage.config.build import ConfigError
from lineage.config.entry_overrides import locate_weights_folder
from lineage.results import paths, store
from lineage.run.inference.device import choose_device
from lineage.run.inference.latency import (
    FEWEST,
    Latency,
    Workload,
    check_repeats,
    limit_threads,
    measure_latency,
    prepare_model,
    prepare_onnx,
    prepare_untrained,
    read_load,
)
from lineage.run.inference.latency_entry import make_latency_entry
from lineage.run.inference.power import PowerMeter
from lineage.run.restore import restore

WARMUP = 10
BUSY = 0.5  # processes beside ours that change little


def main(argv: list[str]) -> int:
    args = parse(argv)
    check_repeats(args.repeats)
    device = choose_device(args.device)
    name, args.weights = args.weights, locate_weights_folder(args.weights, args.results)
    command = [args.weights if word == name else word for word in sys.argv]  # `last` is soon another run
    load = read_load()  # before the first measurement, which the second would take for another process
    for threads in args.threads:
        started = datetime.now(UTC)
        with limit_threads(threads):
            workload = prepare(args, threads, device)
            if threads == args.threads[0]:
                print_header()
            latency = measure_latency(
                workload.run, repeats=args.repeats, warmup=args.warmup, meter=PowerMeter(workload.device), load=load
            )
        print(format_latency(latency, workload, threads))
        if args.size and args.size != workload.size:
            print(explain_padding(args.size, workload.size))
        warn_of_load(latency.load, threads)
        if not args.no_entry:
            entry = make_latency_entry(
                latency, workload, threads=threads, warmup=args.warmup, argv=command, started=started
            )
            print(f"entry    {store.write(entry, args.results)}")
    if latency.watts is None:
        print(f"power    {latency.power_source}")
    return 0


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="lineage latency", description=__doc__)
    parser.add_argument("weights", metavar="RUN|FILE.onnx", help="run folder, entry, file, URL, or exported .onnx; "
                        "if it is KEY=VALUE, a model with random weights")  # fmt: skip
    parser.add_argument("overrides", nargs="*", default=[], metavar="KEY=VALUE", help="of the config, as for train.py")
    parser.add_argument("--threads", type=parse_threads, default=default_threads(), metavar="N,N",
                        help="of the processor, an entry each (default: 1 and 4, if there are the cores)")  # fmt: skip
    parser.add_argument("--repeats", type=int, default=FEWEST, help=f"calls, {FEWEST} or more (%(default)s)")
    parser.add_argument("--warmup", type=int, default=WARMUP, help="calls before, which do not count (%(default)s)")
    parser.add_argument("--size", type=parse_size, metavar="HxW", help="of the image (default: the run's or file's)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 (default: a GPU if there is one; .onnx runs on the CPU)")
    parser.add_argument("--classes", help="names: a,b,c, a text file, or a JSON file with COCO's categories")
    parser.add_argument("--no-entry", action="store_true", help="print only")
    parser.add_argument("--results", type=Path, default=paths.results(), help="the store of entries (%(default)s)")
    args = parser.parse_intermixed_args(argv)
    if args.size == ANY:
        parser.error("--size is one size, such as 640x640")
    if args.warmup < 0:
        parser.error("--warmup is 0 or more")
    if args.weights.endswith(".onnx") and args.overrides:
        parser.error(f"{args.overrides[0]}: an exported file has no config to override; export it again")
    return args


def count_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_threads() -> list[int]:
    return [count for count in (1, 4) if count <= count_cores()]


def parse_threads(text: str) -> list[int]:
    numbers = text.split(",")
    if not all(number.isdigit() and int(number) >= 1 for number in numbers):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers of threads, such as 1,4")
    return [*dict.fromkeys(map(int, numbers))]


def prepare(args: argparse.Namespace, threads: int, device: torch.device) -> Workload:
    if args.weights.endswith(".onnx"):
        if not Path(args.weights).is_file():
            raise ConfigError(
                f"{args.weights}: no such file; `lineage export RUN {shlex.quote(args.weights)}` writes one"
            )
        return prepare_onnx(Path(args.weights), args.size, threads)
    if "=" in args.weights and not Path(args.weights).exists():
        return prepare_untrained([args.weights, *args.overrides], args.size, device)
    return prepare_model(restore(args.weights, args.overrides, args.results, args.classes), args.size, device)


def warn_of_load(load: float, threads: int) -> None:
    """Warn if other processes took part of the processor: the times are then above those of a free machine."""
    if load + threads > count_cores() + BUSY:
        print(f"other processes used the processor before (load {load:.1f}, {count_cores()} cores): times are too long")


def print_header() -> None:
    print(
        f"{'runtime':<22} {'device':<7} {'size':>9} {'threads':>7} {'median':>10} {'p95':>10} {'images/s':>9} {'W':>7}"
    )


def format_latency(latency: Latency, workload: Workload, threads: int) -> str:
    size, watts = "x".join(map(str, workload.size)), "-" if latency.watts is None else f"{latency.watts:.1f}"
    return (
        f"{workload.runtime:<22} {workload.device.type:<7} {size:>9} {threads:>7} {latency.median:>7.2f} ms "
        f"{latency.p95:>7.2f} ms {latency.images_per_second:>9.2f} {watts:>7}"
    )
