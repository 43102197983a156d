"""A ground truth: one COCO document (images, annotations, categories) and the category id of each label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol


class ProtocolError(ValueError):
    """A protocol that cannot be applied to a ground truth."""


class LabelMeta(Protocol):
    """The part of a dataset's metadata that scorers read."""

    @property
    def category_ids(self) -> tuple[int, ...]: ...  # [C] id of each label

    @property
    def sigmas(self) -> tuple[float, ...]: ...  # [K] tolerances of keypoints, or ()


class CocoDataset(Protocol):
    """The part of a dataset that scorers read."""

    @property
    def meta(self) -> LabelMeta: ...

    def ground_truth(self) -> dict[str, Any]:
        """Return the annotations as one COCO document."""
        ...


class DocumentMeta(NamedTuple):
    """Metadata of a document that belongs to no dataset."""

    category_ids: tuple[int, ...]
    sigmas: tuple[float, ...] = ()


class CocoDocument(NamedTuple):
    """A CocoDataset that is nothing but its document, such as an annotation file."""

    document: dict[str, Any]
    meta: LabelMeta

    def ground_truth(self) -> dict[str, Any]:
        return self.document


def document_of(document: dict[str, Any], sigmas: Sequence[float] = ()) -> CocoDocument:
    """Return a document as a dataset whose labels are its categories in the order of their ids."""
    category_ids = tuple(sorted(category["id"] for category in document["categories"]))
    return CocoDocument(document, DocumentMeta(category_ids, tuple(sigmas)))
