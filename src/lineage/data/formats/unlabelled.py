"""Images without labels, of a COCO-format file: what a teacher labels in data distillation (arXiv:1712.04440).

Of the file only `images` is read, so COCO's lists of images without annotations will do, and so will any other split.
"""

from __future__ import annotations

import json
from pathlib import Path

from lineage.data.annotations import validate
from lineage.data.annotations.defects import find
from lineage.data.annotations.indexed_dataset import Annotated, Files, Read, indexed, made, usable

HELP = """\
Images without labels are a folder and a JSON file that lists them: {"images": [{"id", "file_name", "height", "width"}]}
COCO's own, 19 GB:  lineage data prepare coco_person_unlabelled <root>    fetches, checks and unpacks
    http://images.cocodataset.org/zips/unlabeled2017.zip
    http://images.cocodataset.org/annotations/image_info_unlabeled2017.zip"""


def load(
    *, annotations: str, images: str, root: str | None = None, on_defect: str = "raise",
    split: str = "dataset.unlabelled",
) -> Annotated:  # fmt: skip
    """A dataset whose samples hold no object; paths are inside `root`, or absolute."""
    file, folder = (Path(root or "", path).expanduser() for path in (annotations, images))
    if root is None and not file.is_absolute():
        raise validate.DatasetError(f"dataset.root is not set, so there is no {annotations}.\n{HELP}")
    files = Files([file], folder, file, split)
    found = indexed(files, ("unlabelled",), lambda: made(read(file), skip_empty=False, least=0))
    return Annotated(found, files, usable(found, files, on_defect))


def read(file: Path) -> Read:
    """Its images; objects and classes, if it has any, are left there."""
    try:
        listed = json.loads(file.read_bytes())["images"]
    except OSError as error:
        raise validate.DatasetError(f"{file}: cannot be read ({error.strerror}).\n{HELP}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise validate.DatasetError(f"{file}: holds no list `images`.\n{HELP}") from error
    if not isinstance(listed, list) or not listed or not all(isinstance(one, dict) for one in listed):
        raise validate.DatasetError(f"{file}: its `images` is no list of images, or is empty.\n{HELP}")
    content = {"images": listed, "annotations": [], "categories": []}
    return Read(content, list(find(content)))
