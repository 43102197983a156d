"""Images without labels, of a COCO-format file: a teacher labels them in data distillation (arXiv:1712.04440).

Of the file only `images` is read, so COCO's lists of images without annotations will do, and so will any other split.
"""

from __future__ import annotations

import json
from pathlib import Path

from lineage.data.annotations.build_index import ParsedAnnotations, build_index, load_or_build_index
from lineage.data.annotations.defects import find_defects
from lineage.data.annotations.indexed_dataset import IndexedDataset
from lineage.data.annotations.open_dataset import ReadOptions, positions_with_readable_files
from lineage.data.annotations.paths import DatasetPaths
from lineage.data.annotations.validate import DatasetError
from lineage.data.formats.coco import find_annotation_file

HELP = """\
Images without labels are a folder and a JSON file that lists them: {"images": [{"id", "file_name", "height", "width"}]}
COCO's own, 19 GB:  lineage data prepare coco_person_unlabelled <root>    fetches, checks and unpacks
    http://images.cocodataset.org/zips/unlabeled2017.zip
    http://images.cocodataset.org/annotations/image_info_unlabeled2017.zip"""


def load(
    *, annotations: str, images: str, root: str | None = None, on_defect: str = "raise",
    config_node: str = "dataset.unlabelled",
) -> IndexedDataset:  # fmt: skip
    """Open a dataset whose samples hold no object.

    annotations, images: paths inside `root`, or absolute
    on_defect, config_node: see `ReadOptions`
    """
    options = ReadOptions(config_node, on_defect)
    file = find_annotation_file(annotations, root, HELP)
    paths = DatasetPaths([file], Path(root or "", images).expanduser(), file)
    index = load_or_build_index(paths, ("unlabelled",), lambda: build_index(parse(file)))
    return IndexedDataset(index, paths, positions_with_readable_files(index, paths, options))


def parse(file: Path) -> ParsedAnnotations:
    """Read the images; objects and classes of the file are ignored."""
    try:
        images = json.loads(file.read_bytes())["images"]
    except OSError as error:
        raise DatasetError(f"{file}: cannot be read ({error.strerror}).\n{HELP}") from error
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{file}: is not JSON ({error}).\nIt may be cut off: fetch or export it again.") from error
    except (KeyError, TypeError) as error:
        raise DatasetError(f"{file}: holds no list `images`.\n{HELP}") from error
    if not isinstance(images, list) or not images or not all(isinstance(image, dict) for image in images):
        raise DatasetError(f"{file}: its `images` is not a list of images, or is empty.\n{HELP}")
    content = {"images": images, "annotations": [], "categories": []}
    return ParsedAnnotations(content, list(find_defects(content)))
