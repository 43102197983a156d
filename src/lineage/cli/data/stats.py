"""`lineage data stats`: distributions of classes and sizes, printed and plotted."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from lineage.cli.data.named_dataset import add_dataset_arguments, compose_config, open_split, replace_folder, splits_of
from lineage.cli.data.picture_path import read_picture_path
from lineage.cli.data.videos import format_sizes, has_videos
from lineage.cli.data.videos import format_summary as format_videos
from lineage.results.count_noun import count_noun

if TYPE_CHECKING:
    from rich.table import Table

    from lineage.data.stats import Stats

HEADINGS = ("images", "objects", "crowds", "small", "medium", "large", "side")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_dataset_arguments(parser, default="train and val")
    parser.add_argument(
        "--plot", type=read_picture_path, metavar="PNG", help="also draw the distributions; the split is added"
    )
    parser.add_argument("--classes", type=int, default=20, help="how many classes to print, default: 20")


def run(args: argparse.Namespace) -> int:
    from rich.console import Console

    from lineage.data.stats import count_objects
    from lineage.data.stats_plot import plot

    replace_folder(args)
    config, console = compose_config(args), Console(markup=False, emoji=False)
    for split in splits_of(args, config):
        dataset = open_split(config, split)
        if has_videos(dataset):
            print(format_videos(dataset, f"{args.dataset} {split}"))
            continue
        stats = count_objects(dataset)
        objects = sum(row.objects for row in stats.classes)
        console.print(format_summary(stats, f"{args.dataset} {split}"), highlight=False, soft_wrap=True)
        console.print(create_table(stats, args.classes))
        console.print("side: the median square root of the area", highlight=False)
        if len(stats.classes) > args.classes:
            more, every = len(stats.classes) - args.classes, len(stats.classes)
            console.print(f"... and {more} more: --classes {every}", highlight=False)
        if args.plot:
            path = args.plot.with_name(f"{args.plot.stem}_{split}{args.plot.suffix}")
            print(plot(stats, path, f"{args.dataset} {split}: {stats.images:,} images, {objects:,} objects"))
    return 0


def format_summary(stats: Stats, name: str) -> str:
    objects, crowds = sum(row.objects for row in stats.classes), sum(row.crowds for row in stats.classes)
    low, high = stats.sizes.min(0), stats.sizes.max(0)
    return (
        f"{name}: {count_noun(stats.images, 'image')} ({stats.empty:,} without an object) of "
        f"{format_sizes(low.tolist(), high.tolist())}, {count_noun(objects, 'object')}, "
        f"{stats.per_image.mean():.1f} an image, {count_noun(crowds, 'crowd')}"
    )


def create_table(stats: Stats, count: int) -> Table:
    """Return a table of the `count` most frequent classes; on a narrow terminal their names wrap, no number does."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Column, Table

    table = Table(
        Column("class", overflow="fold"), box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0)
    )
    for heading in HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in sorted(stats.classes, key=lambda row: -row.objects)[:count]:
        side = f"{row.median:.0f} px" if row.objects else "-"
        table.add_row(row.name, *(f"{value:,}" for value in row[1:-1]), side)
    return table
