"""LVIS (arXiv:1908.03195), v0.5 and v1: COCO's images with 1,230 or 1,203 classes, each image annotated for a few.

Which few (neg_category_ids, not_exhaustive_category_ids) matters to evaluation alone, so these lists stay in the ground
truth and never enter a Sample. An image lies where its coco_url says: LVIS splits are not COCO's.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from lineage.data.annotations import validate
from lineage.data.annotations.defects import Record, find
from lineage.data.annotations.indexed_dataset import Annotated, Files, Read, annotated

HELP = """\
LVIS is a JSON file for each split beside COCO's image folders:
    <root>/annotations/lvis_v1_train.json    <root>/train2017/*.jpg
    <root>/annotations/lvis_v1_val.json      <root>/val2017/*.jpg
A copy you have:  dataset=lvis dataset.root=<root>
The files:        lineage data prepare lvis <root>    with COCO's images, 19 GB, where they are not there yet"""
LISTS = ("neg_category_ids", "not_exhaustive_category_ids")


def load(
    *, annotations: str, images: str = ".", root: str | None = None, skip_empty: bool = False,
    on_defect: str = "raise", split: str = "dataset.train",
) -> Annotated:  # fmt: skip
    """`images` is the folder that holds train2017 and val2017."""
    file = Path(root or "", annotations).expanduser()
    if root is None and not file.is_absolute():
        raise validate.DatasetError(f"dataset.root is not set, so there is no {annotations}.\n{HELP}")
    advice = f"Set {split}.annotations or dataset.root.\n{HELP}"
    validate.exists(file, advice)
    folder = Path(root or "", images).expanduser()
    files = Files([file], folder, file, split, document=file)
    return annotated(files, ("lvis",), partial(read, file, advice), skip_empty, on_defect)


def read(file: Path, advice: str) -> Read:
    content = validate.read(file, advice)
    federated(content, file)
    for image in content["images"]:
        image["file_name"] = place(image)
    categories = sorted(content["categories"], key=lambda one: one["id"])
    told = {
        "frequencies": [str(one["frequency"]) for one in categories if "frequency" in one],
        "image_counts": [int(one["image_count"]) for one in categories if "image_count" in one],
    }
    return Read(content, list(find(content)), {name: rows for name, rows in told.items() if rows})


def federated(content: dict[str, list[Record]], file: Path) -> None:
    """Evaluation would stop at what is not LVIS's, after the training."""
    for image in content["images"]:
        for name in LISTS:
            if not isinstance(image.get(name), list):
                raise validate.DatasetError(
                    f"{file}: image {image.get('id')} has the {name} {image.get(name)!r}, not a list of category ids, "
                    "so it is not LVIS; use dataset=coco for other files in COCO's format."
                )
    for one in content["categories"]:
        if one.get("frequency") not in ("r", "c", "f"):
            raise validate.DatasetError(
                f"{file}: category {one['id']} has the frequency {one.get('frequency')!r}, which is r, c or f in LVIS."
            )


def place(image: Record) -> str | None:
    """train2017/000000391895.jpg; v0.5 also has a file_name, but that is of COCO 2014."""
    url = image.get("coco_url")
    return "/".join(url.split("/")[-2:]) if isinstance(url, str) and url else image.get("file_name")
