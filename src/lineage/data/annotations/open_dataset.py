"""Opening a dataset: index its files, check them, and report or drop what cannot be used."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lineage.data.annotations import file_check_cache, mmap_index
from lineage.data.annotations.build_index import (
    ParsedAnnotations,
    build_index,
    load_or_build_index,
    read_cures,
    read_defects,
)
from lineage.data.annotations.columns import unflatten
from lineage.data.annotations.cures import format_cures
from lineage.data.annotations.defects import EMPTY_BOX, MISSING_FILE, MISSING_MASK, Defect
from lineage.data.annotations.indexed_dataset import IndexedDataset
from lineage.data.annotations.paths import DatasetPaths
from lineage.data.annotations.validate import DatasetError, check_command, format_defects

log = logging.getLogger(__name__)

FEW = 1e-4  # share of boxes without area that is left out with a warning: COCO train2017 itself has two


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """The options that all formats share, as the config node of a split has them."""

    config_node: str  # such as dataset.train, for messages
    on_defect: str = "raise"  # or drop: leave out what is broken, with a warning
    filter_empty: bool = False  # leave out images without an object that is no crowd
    min_keypoints: int = 0  # leave out images with fewer labelled keypoints
    fraction: float | None = None  # read this share of the images, chosen by a hash of their names
    held_out: float | None = None  # leave that share out

    def __post_init__(self) -> None:
        if not 0 < (self.fraction or self.held_out or 0.5) < 1:
            raise DatasetError(f"dataset.val.fraction={self.fraction or self.held_out:g} is not between 0 and 1.")
        if self.on_defect not in ("raise", "drop"):
            raise DatasetError(f"{self.config_node}.on_defect={self.on_defect} is not a choice; use raise or drop.")

    @property
    def require_objects(self) -> bool:
        """Return False for splits that are only tested: images without objects are detected on, and not scored."""
        return self.config_node != "dataset.val"


def open_dataset(
    paths: DatasetPaths, key: tuple[Any, ...], parse: Callable[[], ParsedAnnotations], options: ReadOptions
) -> IndexedDataset:
    """Open a dataset; raise DatasetError for defects (unless they are dropped) and if nothing is left.

    key: the format and everything else that `parse` depends on besides the files
    parse: reads the files; called only if they or the key are new
    """
    index = open_index(paths, (*key, options.filter_empty, options.min_keypoints), parse, options)
    if cures := read_cures(index):
        log.warning(format_cures(cures, paths.source))
    positions = select_share(index, positions_with_readable_files(index, paths, options), options)
    if positions == [] or (options.require_objects and not len(index.columns["labels"])):
        raise DatasetError(_format_nothing_left(index, paths, options))
    return IndexedDataset(index, paths, positions)


def open_index(
    paths: DatasetPaths, key: tuple[Any, ...], parse: Callable[[], ParsedAnnotations], options: ReadOptions
) -> mmap_index.Index:
    """Return the index of these annotations: one for all copies of the images, unless names were cured by their files.

    Annotations and images may move together, so that the place of the images is no part of the key.
    """
    folder = str(paths.image_folder.absolute())

    def build() -> mmap_index.IndexContent:
        metadata, columns = build_index(parse(), filter_empty=options.filter_empty, min_keypoints=options.min_keypoints)
        return metadata | {"image_folder": folder}, columns

    index = load_or_build_index(paths, key, build)
    if index.metadata["image_folder"] == folder:
        return index
    file_defects = file_check_cache.find_file_defects(unflatten(index.columns), paths, index.path.stem)
    if index.metadata["folders"] or any(defect.kind == MISSING_FILE for defect in file_defects):
        return load_or_build_index(paths, (*key, folder), build)
    return index


def positions_with_readable_files(
    index: mmap_index.Index, paths: DatasetPaths, options: ReadOptions
) -> list[int] | None:
    """Return the positions of images whose files can be used, None for all; raise DatasetError for defects."""
    columns = unflatten(index.columns)
    file_defects = file_check_cache.find_file_defects(columns, paths, index.path.stem)
    raise_or_warn([*read_defects(index), *file_defects], index, paths, options)
    unusable = {defect.position for defect in file_defects}
    return [i for i in range(len(columns.image_ids)) if i not in unusable] if unusable else None


def select_share(index: mmap_index.Index, positions: list[int] | None, options: ReadOptions) -> list[int] | None:
    """Return those of the positions (None is all) that the share of this split holds; None for all."""
    if options.fraction is None and options.held_out is None:
        return positions
    names = unflatten(index.columns).file_names.rows()
    candidates = range(len(names)) if positions is None else positions
    if options.fraction is not None:
        return [i for i in candidates if hash_name(names[i]) < options.fraction]
    return [i for i in candidates if hash_name(names[i]) >= (options.held_out or 0.0)]


def hash_name(name: bytes) -> float:
    """Return a number in [0, 1) that depends on the name of an image's file alone, with its folders inside the root."""
    return int.from_bytes(hashlib.sha256(name).digest()[:4]) / 2**32


def raise_or_warn(
    defects: Sequence[Defect], index: mmap_index.Index, paths: DatasetPaths, options: ReadOptions
) -> None:
    """Raise DatasetError if there are defects; warn if they are dropped, or if only a few boxes have no area.

    Objects without a mask are none: whether that matters depends on the model.
    """
    defects = [defect for defect in defects if defect.kind != MISSING_MASK]
    if not defects:
        return
    message = format_defects(defects, paths.source)
    is_rare = len(defects) <= FEW * index.metadata["annotations"]
    is_minor = is_rare and all(defect.kind == EMPTY_BOX for defect in defects)
    if options.on_defect == "drop" or is_minor:
        log.warning(
            "%s\nThese are left out, of broken masks the mask alone; boxes that reach outside are clipped, keypoints "
            "outside are not learned.",
            message,
        )
        return
    nodes = ["dataset.train", "dataset.val"] if options.fraction or options.held_out else [options.config_node]
    keys = " ".join(f"{node}.on_defect=drop" for node in nodes)  # both sides of a share read the same file
    raise DatasetError(
        f"{message}\nList all of them:    {check_command(paths.source, paths.image_folder)}\n"
        f"Train without them:  {keys}"
    )


def _format_nothing_left(index: mmap_index.Index, paths: DatasetPaths, options: ReadOptions) -> str:
    images = len(index.columns["ids"])
    annotations = index.metadata["annotations"]
    if share := options.fraction or options.held_out:
        return (
            f"{paths.source}: of {images} images none is left on one side of dataset.val.fraction={share:g}. Set "
            "another share, or dataset.val=null to train on all and evaluate on none."
        )
    if len(index.columns["labels"]):
        return f"{paths.source}: none of its {images} images in {paths.image_folder} can be used."
    condition = ""
    if options.min_keypoints:
        condition = f"; an image needs an object with {options.min_keypoints} labelled keypoints"
    elif options.filter_empty:
        condition = "; an image needs an object that is no crowd"
    defects = len(read_defects(index))
    return f"{paths.source}: no image is left. It holds {annotations} annotations and {defects} defects{condition}."
