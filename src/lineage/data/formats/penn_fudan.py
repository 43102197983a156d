"""Penn-Fudan pedestrians (Wang et al., ACCV 2007): 170 images, 423 people, a PNG with one number per person.

It has no official split; here the last `held_out` images by name, all from Penn, are for validation.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from lineage.data.annotations.build_index import ParsedAnnotations
from lineage.data.annotations.indexed_dataset import IndexedDataset
from lineage.data.annotations.open_dataset import ReadOptions, open_dataset
from lineage.data.annotations.paths import DatasetPaths
from lineage.data.annotations.validate import DatasetError
from lineage.data.formats.builder import RecordBuilder

HELP = """\
Penn-Fudan is a folder PennFudanPed with PNGImages/*.png and PedMasks/*_mask.png.
A copy you have:  dataset=penn_fudan dataset.root=DIR    DIR is PennFudanPed or a folder that holds it
The files, 53 MB: lineage data prepare penn_fudan DIR"""


def load(
    *, image_set: str, held_out: int, root: str | None = None, filter_empty: bool = False, on_defect: str = "raise",
    config_node: str = "dataset.train",
) -> IndexedDataset:  # fmt: skip
    """Open one side of the split.

    image_set: train or val
    held_out: how many images are for validation
    filter_empty, on_defect, config_node: see `ReadOptions`
    """
    options = ReadOptions(config_node, on_defect, filter_empty)
    if root is None:
        raise DatasetError(f"dataset.root is not set.\n{HELP}")
    folder = find_folder(Path(root).expanduser())
    masks = sorted((folder / "PedMasks").glob("*_mask.png"))
    if image_set not in ("train", "val") or not 0 < held_out < len(masks):
        raise DatasetError(
            f"{config_node}: image_set={image_set} with held_out={held_out} of {len(masks)} images in {folder}; "
            "image_set is train or val, held_out leaves at least one image on either side, as "
            f"dataset.held_out={max(1, len(masks) // 5)}"
        )
    masks = masks[-held_out:] if image_set == "val" else masks[:-held_out]
    paths = DatasetPaths(masks, folder / "PNGImages", folder)
    return open_dataset(paths, ("penn_fudan",), partial(parse, masks), options)


def find_folder(root: Path) -> Path:
    for folder in (root, root / "PennFudanPed", root / "data" / "PennFudanPed"):
        if (folder / "PedMasks").is_dir():
            return folder
    raise DatasetError(f"{root}: holds no PennFudanPed/PedMasks.\n{HELP}")


def parse(masks: Sequence[Path]) -> ParsedAnnotations:
    builder = RecordBuilder({1: "person"})
    for image_id, file in enumerate(masks, 1):
        name = file.name.replace("_mask.png", ".png")
        try:
            with Pillow.open(file) as image:
                people = np.asarray(image)
            if people.ndim != 2:
                raise ValueError(f"is of mode {image.mode}, not one number per pixel")
        except (OSError, ValueError, SyntaxError) as error:
            builder.add_unreadable_image(image_id, name, f"{file}: {error}")
            continue
        builder.add_image(image_id, name, people.shape)
        for person in np.unique(people[people > 0]):
            builder.add_mask(1, people == person)
    return builder.finish()
