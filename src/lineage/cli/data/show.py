"""`lineage data show`: a picture of samples as training sees them, after augmentation."""

from __future__ import annotations

import argparse
from pathlib import Path

from lineage.cli.data.named_dataset import add_dataset_arguments, compose_config, open_split, replace_folder
from lineage.cli.data.picture_path import read_picture_path
from lineage.cli.data.videos import has_videos, save_samples


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_dataset_arguments(parser, default="train")
    parser.add_argument("--out", type=read_picture_path, default=Path("samples.png"), metavar="PNG")
    parser.add_argument("--count", type=int, default=9, help="samples, default: 9")
    parser.add_argument("--seed", type=int, default=0)


def run(args: argparse.Namespace) -> int:
    from lineage.config.build import build
    from lineage.data.preview import augment_samples
    from lineage.report.grid import save_grid

    replace_folder(args)
    config, split = compose_config(args), args.split or "train"
    dataset = open_split(config, split)
    augment = build(config.augment)
    transform = augment["train"] if split == "train" else augment["test"]
    if has_videos(dataset):
        print(save_samples(dataset, transform, args.count, args.seed, args.out))
        return 0
    samples = augment_samples(dataset, transform, args.count, args.seed)
    print(save_grid(samples, dataset.meta, args.out))
    return 0
