"""COCO-format datasets: the original files, person keypoints, and any other folder in the same format.

A file names its own classes: any category ids will do, labels follow the ids in ascending order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from lineage.data.annotations.build_index import ParsedAnnotations
from lineage.data.annotations.cures import CureLog, cure_files
from lineage.data.annotations.defects import Record, find_defects
from lineage.data.annotations.image_folder import ImageFolder
from lineage.data.annotations.indexed_dataset import IndexedDataset
from lineage.data.annotations.open_dataset import ReadOptions, open_dataset
from lineage.data.annotations.paths import DatasetPaths
from lineage.data.annotations.validate import DatasetError, read_coco, require_file
from lineage.data.formats.coco_json import parse_coco
from lineage.data.samples.image import MEGAPIXELS, create_decoding

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
    *, annotations: str, images: str = "images", root: str | None = None, filter_empty: bool = False,
    min_keypoints: int = 0, fraction: float | None = None, held_out: float | None = None, on_defect: str = "raise",
    pixel_range: Sequence[float] | None = None, max_megapixels: float = MEGAPIXELS, config_node: str = "dataset.train",
) -> IndexedDataset:  # fmt: skip
    """Open a COCO-format dataset.

    annotations, images: paths inside `root`, or absolute. If there is no such image folder, the images are also looked
        for beside the annotation file (Roboflow's layout), in an `images` folder there, and in the root.
    filter_empty, min_keypoints, fraction, held_out, on_defect, config_node: see `ReadOptions`
    pixel_range, max_megapixels: see `Decoding`
    """
    options = ReadOptions(config_node, on_defect, filter_empty, min_keypoints, fraction, held_out)
    decoding = create_decoding(pixel_range, max_megapixels)
    file = find_annotation_file(annotations, root, HELP)
    advice = f"Set {config_node}.annotations or dataset.root.\n{HELP}"
    require_file(file, advice)
    folder = Path(root or "", images).expanduser()
    paths = DatasetPaths([file], folder, file, coco_file=file, decoding=decoding)
    if not folder.is_dir():  # only then must the file be read to find them
        records = read_coco(file, advice, require_objects=options.require_objects)["images"]
        paths = replace(paths, image_folder=find_image_folder(file, folder, root, records, config_node))
    key = "coco", "checked keypoints"  # of the index: one of unchecked keypoints is not used
    return open_dataset(paths, key, partial(parse, paths, advice, options.require_objects), options)


def find_annotation_file(annotations: str, root: str | None, advice: str) -> Path:
    """Return the path inside `root`, or the absolute one; raise DatasetError if a relative one has no root."""
    file = Path(root or "", annotations).expanduser()
    if root is None and not file.is_absolute():
        raise DatasetError(f"dataset.root is not set, so there is no {annotations}.\n{advice}")
    return file


def parse(paths: DatasetPaths, advice: str, require_objects: bool = True) -> ParsedAnnotations:
    """Read the file, and cure what leaves no doubt."""
    log, folder = CureLog(), ImageFolder(paths.image_folder)
    content = read_coco(paths.source, advice, require_objects=require_objects, log=log, parse=parse_coco)
    cure_files(content["images"], folder, paths.decoding, log)
    return ParsedAnnotations(content, list(find_defects(content)), cures=log.cures(), folders=folder.folders())


def parse_records(file: Path, advice: str) -> ParsedAnnotations:
    """Read the file without a look at its images."""
    content = read_coco(file, advice)
    return ParsedAnnotations(content, list(find_defects(content)))


def find_image_folder(
    file: Path, configured: Path, root: str | None, images: Sequence[Record], config_node: str
) -> Path:
    """Return the first usual folder that holds the first image; `configured` does not exist."""
    folders = [file.parent, file.parent / "images", *([Path(root)] if root else [])]
    name = str(images[0].get("file_name"))
    for folder in folders:
        listing = ImageFolder(folder)
        if listing.has(name) or listing.find(name) is not None:
            return folder
    candidates = "\n".join(f"    {folder / name}" for folder in (configured, *folders))
    raise DatasetError(f"{configured}: no such folder of images. Looked for the first image at\n{candidates}\n"
                       f"Set {config_node}.images to the folder that holds {name}.")  # fmt: skip
