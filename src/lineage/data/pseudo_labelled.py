"""Images with the labels that a teacher gave them: data distillation (arXiv:1712.04440), section 3.

The labels are a file in COCO's format, which a run with dump_labels=true leaves; the images are those of any dataset
that has these ids. What that dataset itself says of objects does not count.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lineage.data.annotations import validate
from lineage.data.annotations.defects import Defect, Record
from lineage.data.annotations.indexed_dataset import Annotated, Files, indexed, known_defects, made
from lineage.data.annotations.validate import DatasetError
from lineage.data.formats import coco
from lineage.data.samples.dataset import Dataset, ObjectLabels
from lineage.data.samples.sample import Sample

HELP = """\
A trained model leaves labels:  python train.py weights=RUN evaluate_only=true dump_labels=true tta=scales \\
                                    model=MODEL dataset=coco_person_unlabelled dataset.root=ROOT
Its student is trained on them: python train.py model=MODEL sampling=mixed dataset=coco_person_distilled \\
                                    dataset.root=ROOT dataset.labels=<the run folder of the first>/labels.json
A row of a table says of which row:  labels: ROW"""


class Distilled:
    """Images stay out that have no object (`skip_empty`) or fewer than `least_keypoints` labelled keypoints."""

    def __init__(self, images: Dataset, *, path: str | None, skip_empty: bool, least_keypoints: int) -> None:
        if path is None:
            raise DatasetError(f"dataset.labels is not set: whose labels is this run to be trained on?\n{HELP}")
        self.images, self.labels = images, _read(Path(path).expanduser(), skip_empty, least_keypoints)
        self.places = _places(self.labels, images)
        self.meta, self.source = self.labels.meta, self.labels.source
        self.ids, self.sizes, self.part_lengths = self.labels.ids, self.labels.sizes, self.labels.part_lengths
        told = f"{self.labels.fingerprint} on {images.fingerprint}"
        self.fingerprint = hashlib.sha256(told.encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Sample:
        return self.labels.labelled(index, self.images[self.places[index]].image)

    def ground_truth(self) -> dict[str, Any]:
        return self.labels.ground_truth()

    def object_labels(self) -> ObjectLabels:
        return self.labels.object_labels()

    def find_defects(self, progress: Callable[[Sequence[Record]], Iterable[Record]]) -> Iterator[Defect]:
        """Yield the defects of the images. Those of the labels are an error when they are read."""
        return self.images.find_defects(progress)


def _read(file: Path, skip_empty: bool, least: int) -> Annotated:
    validate.exists(file, HELP)
    files = Files([file], file.parent, file, "dataset.distilled", document=file)
    options = ("distilled", skip_empty, least)
    found = indexed(files, options, lambda: made(coco.read(file, HELP), skip_empty, least))
    validate.settle(known_defects(found), file, file.parent, "raise", files.split, found.told["annotations"])
    if not len(found.columns["ids"]):
        wanted = f"with {least} keypoints or more" if least else "with an object"
        raise DatasetError(f"{file}: no image {wanted} among its {found.told['annotations']} labels.\n{HELP}")
    return Annotated(found, files)


def _places(labels: Annotated, images: Dataset) -> list[int]:
    """Where each labelled image is in the dataset of the images."""
    place = {number: i for i, number in enumerate(images.ids.tolist())}
    numbers, file = labels.ids.tolist(), labels.files.name
    again = "the file was made from other images. Make it again with this dataset"
    foreign = [number for number in numbers if number not in place]
    if foreign:
        raise DatasetError(f"{file}: {len(foreign)} images, such as {foreign[0]}, dataset.unlabelled has not: {again}")
    found = [place[number] for number in numbers]
    different = (images.sizes[found] != labels.sizes).any(1).nonzero().flatten().tolist()
    if different:
        there, here = labels.sizes[different[0]].tolist(), images.sizes[found[different[0]]].tolist()
        raise DatasetError(f"{file}: image {numbers[different[0]]} is {there} there (height, width) and {here} in "
                           f"dataset.unlabelled: {again}")  # fmt: skip
    return found
