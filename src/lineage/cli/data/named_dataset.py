"""The arguments that name a dataset and change its config, and opening it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from lineage.results import paths
from lineage.results.overrides import quote
from lineage.tables.suggest import did_you_mean

SPLITS = ("train", "val", "unlabelled", "distilled")


class UnknownDataset(ValueError):
    """A name that conf/dataset does not have."""


def add_dataset_arguments(parser: argparse.ArgumentParser, *, default: str, splits: Sequence[str] = SPLITS) -> None:
    """Add NAME, KEY=VALUE, --root and --split; `default` names the splits that are used without --split."""
    parser.usage = f"{parser.prog} NAME [KEY=VALUE ...] [options]"
    parser.add_argument("dataset", nargs="?", metavar="NAME", help="as in dataset=NAME, or a folder as in finetune=")
    parser.add_argument("overrides", nargs="*", default=[], metavar="KEY=VALUE", help="as for train.py")
    parser.add_argument("--root", help="the same as dataset.root=ROOT")
    parser.add_argument("--split", choices=splits, help=f"default: {default}; the others are of data distillation")
    parser.set_defaults(error=parser.error)


def is_dataset(name: str) -> bool:
    """Return whether conf/dataset has an option of this name."""
    return "/" not in name and any((conf / "dataset" / f"{name}.yaml").is_file() for conf in paths.configs())


def replace_folder(args: argparse.Namespace) -> Path | None:
    """Replace a folder, or a COCO-format file, in the place of NAME by its dataset and keys; return its path."""
    if args.dataset is None or args.root or is_dataset(args.dataset):
        return None
    path = Path(args.dataset).expanduser()
    if not path.exists():
        if len(path.parts) > 1:
            raise UnknownDataset(f"{path}: no such folder")
        return None
    from lineage.data.annotations.validate import DatasetError
    from lineage.run.finetune.layout import read_layout
    from lineage.run.finetune.share import fit_share

    typed = {key: value for key, _, value in (text.partition("=") for text in args.overrides)}
    layout = read_layout(path.absolute(), typed)
    with suppress(DatasetError):  # who opens the dataset says which
        layout = fit_share(layout, args.overrides)
    args.dataset, args.overrides = layout.name, [*layout.overrides, *args.overrides]
    print(layout.summary)
    return path.absolute()


def compose_config(args: argparse.Namespace) -> DictConfig:
    """Return the config of a run with this dataset and these overrides."""
    from hydra import compose

    import lineage.config.schema  # noqa: F401  (registers the schema)
    from lineage.config.hydra_scope import initialize_hydra

    if args.dataset is None:
        args.error("name a folder of images with annotations, or a dataset, as in dataset=NAME")
    names = sorted({path.stem for conf in paths.configs() for path in (conf / "dataset").glob("*.yaml")})
    if args.dataset not in names:
        raise UnknownDataset(f"there is no dataset {args.dataset!r}. {did_you_mean(args.dataset, names)}")
    root = [f"dataset.root={quote(Path(args.root).absolute())}"] if args.root else []
    own = paths.project() / "conf"
    with initialize_hydra(own if (own / "train.yaml").is_file() else paths.shipping_root() / "conf"):
        return compose("train", [f"dataset={args.dataset}", *root, *args.overrides])


def open_split(config: DictConfig, split: str, **options: Any) -> Any:
    """Open a split of the dataset; `options` replace keys of its node, if the node has them."""
    from lineage.config.build import build
    from lineage.run.splits import build_train, build_val

    node = config.dataset.get(split)
    if node is None:
        hint = "dataset.val=null leaves it out" if split == "val" else f"coco_person_{split} does"
        raise UnknownDataset(f"dataset={config.dataset.name} has no images {split}; {hint}")
    options = {key: value for key, value in options.items() if key in node}
    if split in ("train", "val"):
        return (build_train if split == "train" else build_val)(config, **options)
    return build(node, **options)


def splits_of(args: argparse.Namespace, config: DictConfig) -> Sequence[str]:
    """Return --split, else train and val as far as the config has them."""
    return (args.split,) if args.split else [split for split in ("train", "val") if config.dataset.get(split)]
