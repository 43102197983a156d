"""The command that `lineage data check` ends with: it trains on what was checked, with defects on what is sound."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from omegaconf import DictConfig

from lineage.cli.data.named_dataset import open_split
from lineage.cli.data.videos import has_videos
from lineage.results.overrides import quote
from lineage.results.paths import train_command

if TYPE_CHECKING:
    from lineage.data.annotations.defects import Defect
    from lineage.data.annotations.paths import DatasetPaths
    from lineage.data.samples.dataset import Dataset

SKIP = "data.on_unreadable=skip"
MOVE = "once image files that cannot be decoded are moved away"


class Checked(NamedTuple):
    """A split without its defects, their number, and the images whose files cannot be used, as defects name them."""

    dataset: Dataset
    defects: int
    unusable: frozenset[str] = frozenset()


class Remedy(NamedTuple):
    """The keys of a training that leave defects out, and what must be done by hand before."""

    keys: tuple[str, ...] = ()
    before: str = ""


def choose_remedy(config: DictConfig, checked: Mapping[str, Checked]) -> Remedy | None:
    """Return what leaves the defects out of a training that stops for them; None if nothing does.

    checked: split -> what was found; val may be a part of the file of train
    Raises DatasetError if a training has nothing left then, such as crowds alone.
    """
    from lineage.data.annotations.validate import DatasetError

    keys, before = list[str](), ""
    for split, (dataset, _, _) in checked.items():
        shares = [part for part, (other, _, _) in checked.items() if other is dataset or share_a_file(other, dataset)]
        if "on_defect" not in config.dataset[split]:
            if any(checked[part].defects for part in shares):
                return None
            continue
        try:
            open_split(config, split, on_defect="raise")
        except DatasetError:
            open_split(config, split, on_defect="drop")  # raises DatasetError if nothing is left
            keys.append(f"dataset.{split}.on_defect=drop")
        if holds_any(dataset, frozenset().union(*(checked[part].unusable for part in shares))):
            keys += [SKIP] if split == "train" else [f"dataset.{part}.on_defect=drop" for part in shares]
            before = before if split == "train" else MOVE
    return Remedy(tuple(dict.fromkeys(keys)), before)


def holds_any(dataset: Dataset, names: frozenset[str]) -> bool:
    """Return whether one of the images, as defects name them, is still in a dataset that left its defects out."""
    from lineage.data.annotations.indexed_dataset import IndexedDataset
    from lineage.data.annotations.validate import name_image

    if not names or not isinstance(dataset, IndexedDataset):
        return False
    return any(name_image(record) in names for record in dataset.columns.image_records())


def share_a_file(dataset: Dataset, other: Dataset) -> bool:
    """Return whether two datasets are parts of the images of one annotation file, which is checked as a whole."""
    from lineage.data.annotations.indexed_dataset import IndexedDataset

    if not (isinstance(dataset, IndexedDataset) and isinstance(other, IndexedDataset)):
        return False
    return dataset.index_path == other.index_path


def choose_file_remedy(defects: Iterable[Defect], records: Sequence[dict[str, Any]], paths: DatasetPaths) -> Remedy:
    """Return what leaves out the defects of one file, whose images train and validate."""
    from lineage.data.annotations.defects import UNUSABLE_FILE
    from lineage.data.annotations.validate import sample_image_files

    defects = [*defects]
    if all(defect.kind.drops == "nothing" for defect in defects):
        return Remedy()
    unusable = [records[defect.position] for defect in defects if defect.kind == UNUSABLE_FILE]
    opened = len(unusable) > sum(1 for _ in sample_image_files(unusable, len(unusable), paths))
    return Remedy(("dataset.train.on_defect=drop", "dataset.val.on_defect=drop"), MOVE if opened else "")


def suggest_overrides(dataset: Dataset, typed: Sequence[str]) -> list[str]:
    """Return the overrides that train on a dataset: of landmarks that classes do not share, a model of its own.

    That one is chosen small on a CPU, as finetune chooses: its paper's size is for GPUs, from weights to be fetched.
    """
    if has_videos(dataset):
        return ["model=dvtsr"]
    if not dataset.meta.keypoint_offsets:
        return ["finetune=true"]
    import torch

    is_chosen = torch.cuda.is_available() or any(text.startswith("tier=") for text in typed)
    return ["model=deepmark", *([] if is_chosen else ["tier=mini"])]


def name_training(args: argparse.Namespace, folder: Path | None, typed: Sequence[str], train: Dataset) -> list[str]:
    """Return the overrides that train on what was checked, with those that were typed.

    folder: the folder or file that stood in the place of the dataset's name
    """
    if folder:
        return [f"finetune={folder}", *typed]
    root = [f"dataset.root={quote(Path(args.root).absolute())}"] if args.root else []
    return [*suggest_overrides(train, typed), f"dataset={args.dataset}", *root, *typed]


def print_next(overrides: Sequence[str], remedy: Remedy) -> None:
    """Print the command that trains on what was checked."""
    without = "without the defects" if remedy.keys else ""
    comment = ", ".join(filter(None, (without, remedy.before)))
    words = dict.fromkeys([*overrides, *remedy.keys])
    print(f"next     {train_command()} {shlex.join(words)}{f'    # {comment}' if comment else ''}")
