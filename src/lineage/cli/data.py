"""`lineage data`: make, fetch, check, count and look at datasets by the name they have in dataset=NAME.

lineage data prepare voc07 DIR
lineage data check voc07 --root DIR
lineage data stats coco --root DIR --split val --plot classes.png
lineage data show lvis --root DIR augment=lsj --out samples.png
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from lineage.results import paths
from lineage.tables.suggest import did_you_mean

COMMANDS = {
    "make": "write the embedded dataset in a public layout",
    "prepare": "fetch a dataset, or say what to fetch and where to put it",
    "check": "find every broken image, box, mask and id",
    "stats": "distributions of classes and sizes, printed and plotted",
    "show": "samples as training sees them, after augmentation",
}


class UnknownDataset(ValueError):
    """A name that conf/dataset does not have."""


def main(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print(__doc__)
        print("\n".join(f"  {name:<8} {text}" for name, text in COMMANDS.items()))
        return 0
    name, rest = argv[0], argv[1:]
    if name == "prepare":
        from lineage.data.download import main as prepare

        return prepare(rest)
    if name == "check" and any(one.startswith("--annotations") for one in rest):
        from lineage.data.annotations.validate import main as check

        return check(rest)
    if name in ACTIONS:
        return action(name, rest)
    if name == "make":
        from lineage.cli.data_make import main as make

        return make(argv)
    print(f"lineage data has no {name!r}. {did_you_mean(name, COMMANDS)}", file=sys.stderr)
    return 2


def action(name: str, argv: list[str]) -> int:
    asked = parser(name).parse_intermixed_args(argv)
    if asked.dataset is None:
        parser(name).error("name a dataset, as in dataset=NAME")
    return ACTIONS[name](asked)


def parser(name: str) -> argparse.ArgumentParser:
    usage = f"lineage data {name} NAME [KEY=VALUE ...] [options]"
    made = argparse.ArgumentParser(prog=f"lineage data {name}", usage=usage, description=COMMANDS[name])
    made.add_argument("dataset", nargs="?", metavar="NAME", help="as in dataset=NAME")
    made.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as for train.py")
    made.add_argument("--root", help="the same as dataset.root=ROOT")
    which = "default: train and val for check and stats, train for show; the others are of data distillation"
    known = ("train", "val", "unlabelled", *(("distilled",) if name != "check" else ()))  # labels are checked as read
    made.add_argument("--split", choices=known, help=which)
    if name == "check":
        made.add_argument("--annotations", help="a COCO-format file in place of NAME, with --images FOLDER")
    if name == "stats":
        made.add_argument("--plot", type=Path, metavar="PNG", help="also draw the distributions; {split} is filled in")
        made.add_argument("--classes", type=int, default=20, help="how many classes to print, default: 20")
    if name == "show":
        made.add_argument("--out", type=Path, default=Path("samples.png"), metavar="PNG")
        made.add_argument("--count", type=int, default=9, help="samples, default: 9")
        made.add_argument("--seed", type=int, default=0)
    return made


def composed(asked: argparse.Namespace) -> Any:
    """The config that a run with this dataset and these overrides would have."""
    from hydra import compose, initialize_config_dir

    import lineage.config.schema  # noqa: F401  (registers the schema)

    conf, own = paths.shipped() / "conf", paths.own_configs()
    names = sorted({path.stem for root in (conf, own) if root for path in (root / "dataset").glob("*.yaml")})
    if asked.dataset not in names:
        raise UnknownDataset(f"there is no dataset {asked.dataset!r}. {did_you_mean(asked.dataset, names)}")
    root = [f"dataset.root={Path(asked.root).absolute()}"] if asked.root else []
    with initialize_config_dir(str(conf.absolute()), version_base="1.3"):
        return compose("train", [f"dataset={asked.dataset}", *root, *asked.overrides])


def opened(config: Any, split: str, **options: Any) -> Any:
    from lineage.config.build import build

    node = config.dataset.get(split)
    if node is None:
        raise UnknownDataset(f"dataset={config.dataset.name} has no images {split}; coco_person_{split} does")
    return build(node, **{name: value for name, value in options.items() if name in node})


def splits(asked: argparse.Namespace) -> Sequence[str]:
    return (asked.split,) if asked.split else ("train", "val")


def check(asked: argparse.Namespace) -> int:
    """Exit code 1 if there is any defect."""
    from rich.console import Console
    from rich.progress import track

    def watched(records: Sequence[Any]) -> Any:
        return track(records, "decoding", transient=True, disable=not sys.stderr.isatty(), console=Console(stderr=True))

    config = composed(asked)
    with quiet("lineage.data.annotations.validate"):  # its warnings are printed here in full
        broken = sum(_print_defects(asked, config, split, watched) for split in splits(asked))
    return int(broken > 0)


def _print_defects(asked: argparse.Namespace, config: DictConfig, split: str, watched: Callable[..., Any]) -> int:
    """Print every defect of a split and return their number."""
    from lineage.data.annotations.validate import DatasetError, report

    try:
        data = opened(config, split, on_defect="drop", skip_empty=False, least_keypoints=0)
    except DatasetError:  # also where nothing is left: say why
        data = opened(config, split, on_defect="raise", skip_empty=False, least_keypoints=0)
    if data.source is None:
        print(f"{split}: {asked.dataset} is drawn on demand; there is nothing on disk to check.")
        return 0
    defects = list(data.find_defects(watched))
    if defects:
        print(report(defects, data.source, shown=len(defects)))
    else:
        annotations = len(data.object_labels().labels)
        counts = f"{len(data)} images, {annotations} annotations, {len(data.meta.classes)} categories"
        print(f"{split}: {data.source}: no defects. {counts}.")
    return len(defects)


@contextmanager
def quiet(logger: str) -> Iterator[None]:
    """Keep a logger's warnings back."""
    log = logging.getLogger(logger)
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def count(asked: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Column, Table

    from lineage.data.stats import stats
    from lineage.data.stats_plot import plot

    config, console = composed(asked), Console()
    for split in splits(asked):
        found = stats(opened(config, split))
        objects, crowds = sum(one.objects for one in found.classes), sum(one.crowds for one in found.classes)
        low, high = found.sizes.min(0), found.sizes.max(0)
        console.print(
            f"{asked.dataset} {split}: {found.images:,} images ({found.empty:,} without an object) of "
            f"{low[0]} x {low[1]} to {high[0]} x {high[1]} (height x width), {objects:,} objects, "
            f"{found.per_image.mean():.1f} an image, {crowds:,} crowds",
            highlight=False,
            soft_wrap=True,
        )
        table = Table(Column("class", no_wrap=True))
        for head in ("images", "objects", "crowds", "small", "medium", "large", "side"):
            table.add_column(head, justify="right")
        ordered = sorted(found.classes, key=lambda one: -one.objects)
        for one in ordered[: asked.classes]:
            table.add_row(one.name, *(f"{value:,}" for value in one[1:-1]), f"{one.median:.0f} px")
        console.print(table)
        console.print("side: the median square root of the area", highlight=False)
        if len(ordered) > asked.classes:
            console.print(f"... and {len(ordered) - asked.classes} more: --classes {len(ordered)}", highlight=False)
        if asked.plot:
            path = asked.plot.with_name(f"{asked.plot.stem}_{split}{asked.plot.suffix or '.png'}")
            print(plot(found, path, f"{asked.dataset} {split}: {found.images:,} images, {objects:,} objects"))
    return 0


def show(asked: argparse.Namespace) -> int:
    from types import SimpleNamespace

    from lineage.config.build import build
    from lineage.data.preview import augmented
    from lineage.report.grid import grid

    config, split = composed(asked), asked.split or "train"
    data = opened(config, split)
    augment = SimpleNamespace(**build(config.augment))
    samples = augmented(data, augment.train if split == "train" else augment.test, asked.count, asked.seed)
    print(grid(samples, data.meta, asked.out))
    return 0


ACTIONS: dict[str, Callable[[argparse.Namespace], int]] = {"check": check, "stats": count, "show": show}
