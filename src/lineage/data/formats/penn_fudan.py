"""Penn-Fudan pedestrians (Wang et al., ACCV 2007): 170 images, 423 people, a PNG with one number per person.

There is no official split; here the last `held_out` images by name, all from Penn, are for validation.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from lineage.data.annotations import validate
from lineage.data.annotations.indexed_dataset import Annotated, Files, Read, annotated
from lineage.data.formats.builder import Records

HELP = """\
Penn-Fudan is a folder PennFudanPed with PNGImages/*.png and PedMasks/*_mask.png.
A copy you have:  dataset=penn_fudan dataset.root=DIR    DIR is PennFudanPed or a folder that holds it
The files, 53 MB: lineage data prepare penn_fudan DIR"""


def load(
    *, part: str, held_out: int, root: str | None = None, skip_empty: bool = False, on_defect: str = "raise",
    split: str = "dataset.train",
) -> Annotated:  # fmt: skip
    """`part` is train or val."""
    if root is None:
        raise validate.DatasetError(f"dataset.root is not set.\n{HELP}")
    folder = found(Path(root).expanduser())
    masks = sorted((folder / "PedMasks").glob("*_mask.png"))
    if part not in ("train", "val") or not 0 < held_out < len(masks):
        raise validate.DatasetError(
            f"{split}: part={part} with held_out={held_out} of {len(masks)} images in {folder}; "
            "part is train or val, held_out leaves at least one image on either side."
        )
    masks = masks[-held_out:] if part == "val" else masks[:-held_out]
    files = Files(masks, folder / "PNGImages", folder, split)
    return annotated(files, ("penn_fudan",), partial(read, masks), skip_empty, on_defect)


def found(root: Path) -> Path:
    for place in (root, root / "PennFudanPed", root / "data" / "PennFudanPed"):
        if (place / "PedMasks").is_dir():
            return place
    raise validate.DatasetError(f"{root}: holds no PennFudanPed/PedMasks.\n{HELP}")


def read(masks: Sequence[Path]) -> Read:
    records = Records({1: "person"})
    for number, file in enumerate(masks, 1):
        name = file.name.replace("_mask.png", ".png")
        try:
            with Pillow.open(file) as opened:
                people = np.asarray(opened)
            if people.ndim != 2:
                raise ValueError(f"is of mode {opened.mode}, not one number per pixel")
        except (OSError, ValueError, SyntaxError) as error:
            records.unusable(number, name, f"{file}: {error}")
            continue
        records.image(number, name, people.shape)
        for person in np.unique(people[people > 0]):
            records.mask(1, people == person)
    return records.finish()
