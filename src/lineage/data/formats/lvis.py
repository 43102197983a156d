"""LVIS (arXiv:1908.03195), v0.5 and v1: COCO's images with 1,230 or 1,203 classes, each image annotated for a few.

The lists of these few (neg_category_ids, not_exhaustive_category_ids) matter to evaluation alone, so they stay in the
ground truth and never enter a Sample. LVIS splits are not COCO's, so the folder of an image is read from its coco_url.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from lineage.data.annotations.build_index import ParsedAnnotations
from lineage.data.annotations.cures import CureLog
from lineage.data.annotations.defects import Record, find_defects
from lineage.data.annotations.indexed_dataset import IndexedDataset
from lineage.data.annotations.open_dataset import ReadOptions, open_dataset
from lineage.data.annotations.paths import DatasetPaths
from lineage.data.annotations.validate import DatasetError, read_coco, require_file
from lineage.data.formats.coco import find_annotation_file
from lineage.data.formats.coco_json import parse_coco

HELP = """\
LVIS is a JSON file for each split beside COCO's image folders:
    <root>/annotations/lvis_v1_train.json    <root>/train2017/*.jpg
    <root>/annotations/lvis_v1_val.json      <root>/val2017/*.jpg
A copy you have:  dataset=lvis dataset.root=<root>
The files:        lineage data prepare lvis <root>    with COCO's images, 19 GB, where they are not there yet"""
FEDERATED = ("neg_category_ids", "not_exhaustive_category_ids")  # lists of each image


def load(
    *, annotations: str, images: str = ".", root: str | None = None, filter_empty: bool = False,
    on_defect: str = "raise", config_node: str = "dataset.train",
) -> IndexedDataset:  # fmt: skip
    """Open an LVIS file.

    annotations, images: paths inside `root`, or absolute; `images` holds train2017 and val2017
    filter_empty, on_defect, config_node: see `ReadOptions`
    """
    options = ReadOptions(config_node, on_defect, filter_empty)
    file = find_annotation_file(annotations, root, HELP)
    advice = f"Set {config_node}.annotations or dataset.root.\n{HELP}"
    require_file(file, advice)
    folder = Path(root or "", images).expanduser()
    paths = DatasetPaths([file], folder, file, coco_file=file)
    return open_dataset(paths, ("lvis",), partial(parse, file, advice, options.require_objects), options)


def parse(file: Path, advice: str, require_objects: bool = True) -> ParsedAnnotations:
    log = CureLog()
    content = read_coco(file, advice, require_objects=require_objects, log=log, parse=parse_coco)
    if content["annotations"]:  # of a test server, files have no lists
        require_lvis(content, file)
    for image in content["images"]:
        image["file_name"] = file_name_of(image)
    categories = sorted(content["categories"], key=lambda category: category["id"])
    metadata = {
        "frequencies": [str(category["frequency"]) for category in categories if "frequency" in category],
        "image_counts": [int(category["image_count"]) for category in categories if "image_count" in category],
    }
    metadata = {name: values for name, values in metadata.items() if values}
    return ParsedAnnotations(content, list(find_defects(content)), metadata, cures=log.cures())


def require_lvis(content: dict[str, list[Record]], file: Path) -> None:
    """Raise DatasetError for a file without LVIS's lists; evaluation would fail on it after the training."""
    for image in content["images"]:
        for name in FEDERATED:
            if not isinstance(image.get(name), list):
                raise DatasetError(
                    f"{file}: image {image.get('id')} has the {name} {image.get(name)!r}, not a list of category ids, "
                    "so it is not LVIS; use dataset=coco for other files in COCO's format."
                )
    for category in content["categories"]:
        frequency = category.get("frequency")
        if frequency not in ("r", "c", "f"):
            raise DatasetError(
                f"{file}: category {category['id']} has the frequency {frequency!r}, which is r, c or f in LVIS."
            )


def file_name_of(image: Record) -> str | None:
    """Return train2017/000000391895.jpg; v0.5 also has a file_name, but that is of COCO 2014."""
    url = image.get("coco_url")
    return "/".join(url.split("/")[-2:]) if isinstance(url, str) and url else image.get("file_name")
