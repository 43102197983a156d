"""Images with the labels of a teacher: data distillation (arXiv:1712.04440), section 3.

The labels are a COCO-format file, which a run with dump_labels=true leaves; the images are those of any dataset with
these ids, whose own labels are ignored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lineage.data.annotations.build_index import build_index, load_or_build_index, read_defects
from lineage.data.annotations.defects import Defect, Record
from lineage.data.annotations.indexed_dataset import IndexedDataset
from lineage.data.annotations.open_dataset import ReadOptions, raise_or_warn
from lineage.data.annotations.paths import DatasetPaths
from lineage.data.annotations.validate import DatasetError, require_file
from lineage.data.formats import coco
from lineage.data.samples.dataset import Dataset, ObjectLabels
from lineage.data.samples.sample import Sample

HELP = """\
A trained model leaves labels:  python train.py weights=RUN evaluate_only=true dump_labels=true tta=scales \\
                                    model=MODEL dataset=coco_person_unlabelled dataset.root=ROOT
Its student is trained on them: python train.py model=MODEL sampling=ratio dataset=coco_person_distilled \\
                                    dataset.root=ROOT dataset.labels=<the run folder of the first>/labels.json
A row of a table says of which row:  labels: ROW"""


class PseudoLabelled:
    """A dataset of `images` with the labels of a file.

    Images without an object (`filter_empty`) or with fewer than `min_keypoints` labelled keypoints are left out.
    """

    def __init__(self, images: Dataset, *, path: str | None, filter_empty: bool, min_keypoints: int) -> None:
        if path is None:
            raise DatasetError(f"dataset.labels is not set: whose labels is this run to be trained on?\n{HELP}")
        options = ReadOptions("dataset.distilled", filter_empty=filter_empty, min_keypoints=min_keypoints)
        self.images = images
        self.labels = _open_labels(Path(path).expanduser(), options)
        self.positions = _find_positions(self.labels, images)
        self.meta, self.source = self.labels.meta, self.labels.source
        self.ids, self.sizes, self.part_lengths = self.labels.ids, self.labels.sizes, self.labels.part_lengths
        identity = f"{self.labels.fingerprint} on {images.fingerprint}"
        self.fingerprint = hashlib.sha256(identity.encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Sample:
        return self.labels.sample_on_image(index, self.images[self.positions[index]].image)

    def ground_truth(self) -> dict[str, Any]:
        return self.labels.ground_truth()

    def object_labels(self) -> ObjectLabels:
        return self.labels.object_labels()

    def find_defects(self, progress: Callable[[Sequence[Record]], Iterable[Record]]) -> Iterator[Defect]:
        """Yield the defects of the images. Those of the labels are an error when they are read."""
        return self.images.find_defects(progress)


def _open_labels(file: Path, options: ReadOptions) -> IndexedDataset:
    """Open the labels alone: the images of this dataset are never read."""
    require_file(file, HELP)
    paths = DatasetPaths([file], file.parent, file, coco_file=file)
    index = load_or_build_index(
        paths,
        ("distilled", options.filter_empty, options.min_keypoints),
        lambda: build_index(
            coco.parse_records(file, HELP), filter_empty=options.filter_empty, min_keypoints=options.min_keypoints
        ),
    )
    raise_or_warn(read_defects(index), index, paths, options)
    if not len(index.columns["ids"]):
        condition = f"with {options.min_keypoints} keypoints or more" if options.min_keypoints else "with an object"
        labels = index.metadata["annotations"]
        raise DatasetError(f"{file}: no image {condition} among its {labels} labels.\n{HELP}")
    return IndexedDataset(index, paths)


def _find_positions(labels: IndexedDataset, images: Dataset) -> list[int]:
    """Return the position of each labelled image in `images`; raise DatasetError if it is missing or of other size."""
    position_of = {image_id: position for position, image_id in enumerate(images.ids.tolist())}
    ids, file = labels.ids.tolist(), labels.source
    remedy = "the file was made from other images. Make it again with this dataset"
    missing = [image_id for image_id in ids if image_id not in position_of]
    if missing:
        raise DatasetError(f"{file}: {len(missing)} images, such as {missing[0]}, dataset.unlabelled has not: {remedy}")
    positions = [position_of[image_id] for image_id in ids]
    different = (images.sizes[positions] != labels.sizes).any(1).nonzero().flatten().tolist()
    if different:
        first = different[0]
        size_of_labels, size_of_image = labels.sizes[first].tolist(), images.sizes[positions[first]].tolist()
        raise DatasetError(
            f"{file}: image {ids[first]} is {size_of_labels} there (height, width) and {size_of_image} in "
            f"dataset.unlabelled: {remedy}"
        )
    return positions
