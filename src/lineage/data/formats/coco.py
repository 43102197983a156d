"""COCO-format datasets: the original files, person keypoints, and anybody's own folder in the same format.

A file names its own classes: any category ids will do, labels follow the ids in ascending order.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from lineage.data.annotations import validate
from lineage.data.annotations.defects import Record, find
from lineage.data.annotations.indexed_dataset import Annotated, Files, Read, annotated

HELP = """\
A dataset in COCO format is a folder with images and a JSON file for each split:
    <root>/annotations/instances_train2017.json    <root>/train2017/*.jpg
    <root>/annotations/instances_val2017.json      <root>/val2017/*.jpg
A copy you have:  dataset=coco dataset.root=<root>
Your own files:   dataset=coco dataset.root=<root> dataset.train.annotations=train.json dataset.train.images=train \\
                  dataset.val.annotations=val.json dataset.val.images=val    (paths inside <root>, or absolute)
COCO 2017 itself, 18 GB + 1 GB + 0.24 GB:  lineage data prepare coco <root>    fetches, checks and unpacks
    http://images.cocodataset.org/zips/train2017.zip
    http://images.cocodataset.org/zips/val2017.zip
    http://images.cocodataset.org/annotations/annotations_trainval2017.zip"""


def load(
    *, annotations: str, images: str = "images", root: str | None = None, skip_empty: bool = False,
    least_keypoints: int = 0, on_defect: str = "raise", split: str = "dataset.train",
) -> Annotated:  # fmt: skip
    """`images` and `annotations` are paths inside `root`. Where there is no such image folder, the images may also lie
    beside the annotation file (Roboflow's layout), in an `images` folder there, or in the root. Images with fewer than
    `least_keypoints` labelled keypoints stay out.
    """
    file = Path(root or "", annotations).expanduser()
    if root is None and not file.is_absolute():
        raise validate.DatasetError(f"dataset.root is not set, so there is no {annotations}.\n{HELP}")
    advice = f"Set {split}.annotations or dataset.root.\n{HELP}"
    validate.exists(file, advice)
    folder = Path(root or "", images).expanduser()
    files = Files([file], folder, file, split, document=file)
    if not folder.is_dir():  # only then must the file be read to find them
        content = validate.read(file, advice)
        files = files._replace(folder=image_folder(file, images, root, content["images"], split))
    return annotated(files, ("coco",), partial(read, file, advice), skip_empty, on_defect, least_keypoints)


def read(file: Path, advice: str) -> Read:
    content = validate.read(file, advice)
    return Read(content, list(find(content)))


def image_folder(file: Path, images: str, root: str | None, records: Sequence[Record], split: str) -> Path:
    """The configured folder, or the first usual place that holds the first image."""
    configured = Path(root or "", images).expanduser()
    if configured.is_dir():
        return configured
    places = [file.parent, file.parent / "images", *([Path(root)] if root else [])]
    name = str(records[0].get("file_name"))
    for place in places:
        if (place / name).is_file():
            return place
    looked = "\n".join(f"    {place / name}" for place in (configured, *places))
    raise validate.DatasetError(f"{configured}: no such folder of images. Looked for the first image at\n{looked}\n"
                             f"Set {split}.images to the folder that holds {name}.")  # fmt: skip
