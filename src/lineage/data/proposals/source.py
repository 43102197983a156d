"""Proposals that were made before the detector: Fast R-CNN (arXiv:1504.08083), section 2.3.

A source returns boxes for a sample, in the pixels of its file, best first; `WithProposals` adds them to the samples of
any dataset.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision import tv_tensors as tv

from lineage.data.annotations.defects import Defect, Record
from lineage.data.samples.dataset import Dataset, ObjectLabels
from lineage.data.samples.sample import Sample

Boxes = NDArray[np.float32]  # [r, 4] x1, y1, x2, y2


class ProposalsError(ValueError):
    """Proposals that cannot be read or do not belong to the dataset; the message names what would be right."""


class ProposalSource(Protocol):
    """A function from a sample to its proposals."""

    fingerprint: str  # of everything the result depends on besides the image

    def __call__(self, sample: Sample) -> Boxes:
        """Return boxes in the pixels of the sample's file, best first."""
        ...


class WithProposals:
    """A dataset whose samples have the first `top_k` proposals of a source; all else is that of the dataset."""

    def __init__(self, dataset: Dataset, *, source: Callable[[Dataset], ProposalSource], top_k: int) -> None:
        self.dataset, self.top_k = dataset, top_k
        self.proposals = source(dataset)
        self.meta, self.ids, self.sizes = dataset.meta, dataset.ids, dataset.sizes
        self.part_lengths, self.source = dataset.part_lengths, dataset.source
        identity = f"{dataset.fingerprint} {self.proposals.fingerprint} {top_k}"
        self.fingerprint = hashlib.sha256(identity.encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        sample = self.dataset[index]
        boxes = torch.from_numpy(np.ascontiguousarray(self.proposals(sample)[: self.top_k]))
        return sample._replace(proposals=tv.BoundingBoxes(boxes, format="XYXY", canvas_size=sample.original_size))

    def ground_truth(self) -> dict[str, Any]:
        return self.dataset.ground_truth()

    def object_labels(self) -> ObjectLabels:
        return self.dataset.object_labels()

    def find_defects(self, progress: Callable[[Sequence[Record]], Iterable[Record]]) -> Iterator[Defect]:
        return self.dataset.find_defects(progress)
