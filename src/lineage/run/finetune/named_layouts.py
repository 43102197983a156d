"""Folders in the layout of a dataset that has a name here: DeepFashion2's, LVIS's, COCO's panoptic one."""

from __future__ import annotations

import shlex
from pathlib import Path

from lineage.config.build import ConfigError
from lineage.results.overrides import quote
from lineage.results.paths import train_command
from lineage.run.finetune.coco_files import KINDS

FILES = {  # annotation files of a training -> name of the layout, overrides that train on it
    "lvis_v1_train.json": ("LVIS", "finetune=true dataset=lvis"),
    "lvis_v0.5_train.json": ("LVIS v0.5", "finetune=true dataset=lvis_v05"),
    "panoptic_train2017.json": ("COCO's panoptic images", "model=panoptic_fpn dataset=coco_panoptic"),
}


def refuse_named_layout(folder: Path) -> None:
    """Raise ConfigError for a folder in a layout that a named dataset reads, with the commands for that."""
    refuse_deepfashion2(folder)
    if any(any(folder.glob(f"{place}{kind}_*.json")) for place in ("", "annotations/") for kind in KINDS):
        return
    for name, (layout, overrides) in FILES.items():
        if (folder / "annotations" / name).is_file():
            raise refusal(folder, layout, f"annotations/{name}", overrides)


def refuse_deepfashion2(folder: Path) -> None:
    """Raise ConfigError for a folder in the layout of DeepFashion2, or for one split of it."""
    for root, splits in ((folder, ("train", "validation")), (folder.parent, (folder.name,))):
        if any((root / split / "image").is_dir() and (root / split / "annos").is_dir() for split in splits):
            signs = f"image and annos in {' or '.join(splits)}"
            raise refusal(folder, "DeepFashion2", signs, "model=deepmark dataset=deepfashion2", root)


def refusal(folder: Path, layout: str, signs: str, overrides: str, root: Path | None = None) -> ConfigError:
    """Return the error that names the layout, what shows it, and the commands that check and train by its name."""
    root = root or folder
    name = overrides.partition("dataset=")[2]
    return ConfigError(
        f"{folder} is in the layout of {layout} ({signs}), whose dataset has a name. Check, count, show and train on "
        "it by that:\n"
        f"    lineage data check {name} --root {shlex.quote(str(root))}\n"
        f"    {train_command()} {overrides} {shlex.quote(f'dataset.root={quote(root)}')}"
    )
