"""Paths of a dataset on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lineage.data.samples.image import DEFAULT, Decoding


@dataclass(frozen=True, slots=True)
class SidecarFiles:
    """A file beside each image, in a folder of its own and with its own suffix, such as Cityscapes' instance ids."""

    folder: Path
    image_suffix: str
    suffix: str

    def path_of(self, image_name: str) -> Path:
        return self.folder / (image_name.removesuffix(self.image_suffix) + self.suffix)


@dataclass(frozen=True, slots=True)
class DatasetPaths:
    """The files of one split of a dataset."""

    annotation_files: Sequence[Path]  # all files that the format's reader reads
    image_folder: Path
    source: Path  # the file or folder that messages name
    coco_file: Path | None = None  # a COCO-format file that is itself the ground truth
    decoding: Decoding = DEFAULT  # of the image files
    sidecars: Mapping[str, SidecarFiles] = field(default_factory=dict)  # evaluators get their paths with each image
