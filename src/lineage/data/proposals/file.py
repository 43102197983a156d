"""Files of proposals: one list of boxes for each image of a split.

Ours is .npz of four arrays: `ids` [I], `rows` [I] (how many boxes each image has), `boxes` [N, 4] float32
(x1, y1, x2, y2) in file pixels and `scores` [N] float32, all images' one after the other. Older lists are read too:
Fast R-CNN's .mat and detectron2's and Detectron's .pkl.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from lineage.data.proposals.source import Boxes, ProposalsError
from lineage.data.samples.dataset import Dataset
from lineage.data.samples.sample import Sample
from lineage.results.atomic import atomic_write
from lineage.weights.arrays import read_arrays
from lineage.weights.safe_pickle import load_pickle


class ProposalFile(NamedTuple):
    """The proposals of I images, N in all."""

    ids: NDArray[np.int64]  # [I]
    rows: NDArray[np.int64]  # [I]
    boxes: Boxes  # [N, 4]
    scores: NDArray[np.float32]  # [N]


class StoredProposals:
    """A proposal source that reads a file; images are found by their id."""

    def __init__(self, dataset: Dataset, *, path: str) -> None:
        self.path = Path(path)
        self.file = read_proposals(self.path, dataset)
        ends = np.cumsum(self.file.rows)
        self.row_of = {int(image_id): row for row, image_id in enumerate(self.file.ids)}
        self.spans = np.stack([ends - self.file.rows, ends], axis=1)
        digest = hashlib.sha256(self.file.boxes.tobytes())
        digest.update(self.file.ids.tobytes() + self.file.scores.tobytes())
        self.fingerprint = digest.hexdigest()

    def __call__(self, sample: Sample) -> Boxes:
        if sample.image_id not in self.row_of:
            raise ProposalsError(
                f"{self.path} has no regions of image {sample.image_id}: it was made from another dataset or split. "
                "Make it again: python train.py model=rpn dump_proposals=true with this dataset"
            )
        start, end = self.spans[self.row_of[sample.image_id]]
        order = np.argsort(-self.file.scores[start:end], kind="stable")
        return self.file.boxes[start:end][order]


def read_proposals(path: Path, dataset: Dataset) -> ProposalFile:
    """Read any of the known formats; raise ProposalsError for others and for damaged files."""
    readers = {".npz": _read_npz, ".pkl": _read_pickle, ".mat": _read_matlab}
    if path.suffix not in readers:
        raise ProposalsError(f"{path}: proposals are read from {', '.join(readers)}")
    if not path.is_file():
        raise ProposalsError(
            f"{path}: no such file. An RPN leaves one: python train.py model=rpn dump_proposals=true, then "
            "proposals=file proposals.folder=<its run folder>/proposals"
        )
    try:
        file = readers[path.suffix](path, dataset)
    except (KeyError, BadZipFile, OSError, EOFError, TypeError, IndexError, ValueError, NotImplementedError) as error:
        raise ProposalsError(f"{path}: no list of proposals, or damaged ({type(error).__name__}: {error})") from error
    lengths = len(file.boxes), len(file.scores), int(file.rows.sum())
    if len(set(lengths)) > 1 or len(file.ids) != len(file.rows) or file.boxes.shape[1:] != (4,):
        raise ProposalsError(f"{path}: boxes, scores and rows disagree: {lengths[0]}, {lengths[1]} and {lengths[2]}")
    return file


def write_proposals(path: Path, file: ProposalFile) -> None:
    """Write .npz, whole or not at all."""
    atomic_write(path, lambda temporary: np.savez(temporary, **file._asdict()), durable=True)


def join_files(files: Iterable[ProposalFile]) -> ProposalFile:
    """Join the proposals of several processes; an image that two of them processed counts once."""
    ids, rows, boxes, scores = (np.concatenate(column) for column in zip(*files, strict=True))
    is_first = np.zeros(len(ids), dtype=bool)
    is_first[np.unique(ids, return_index=True)[1]] = True
    keep = np.repeat(is_first, rows)
    return ProposalFile(ids[is_first], rows[is_first], boxes[keep], scores[keep])


def join_lists(ids: Iterable[Any], boxes: Iterable[Any], scores: Iterable[Any]) -> ProposalFile:
    """Join lists with one entry per image."""
    box_arrays = [np.array(image_boxes, np.float32).reshape(-1, 4) for image_boxes in boxes]
    score_arrays = [np.asarray(image_scores, np.float32).ravel() for image_scores in scores]
    return ProposalFile(
        np.array([int(image_id) for image_id in ids], np.int64),
        np.array([len(array) for array in box_arrays], np.int64),
        np.concatenate([np.zeros((0, 4), np.float32), *box_arrays]),
        np.concatenate([np.zeros(0, np.float32), *score_arrays]),
    )


def _read_npz(path: Path, dataset: Dataset) -> ProposalFile:
    arrays = read_arrays(path, ProposalFile._fields)
    return ProposalFile(
        arrays["ids"].astype(np.int64),
        arrays["rows"].astype(np.int64),
        arrays["boxes"].astype(np.float32),
        arrays["scores"].astype(np.float32),
    )


def _read_pickle(path: Path, dataset: Dataset) -> ProposalFile:
    """Read a list of detectron2 (ids, boxes, objectness_logits, bbox_mode) or Detectron (ids or indexes, scores).

    bbox_mode is 0 for corners, 1 for (x, y, width, height).
    """
    content = load_pickle(path)
    scores = content["objectness_logits"] if "objectness_logits" in content else content["scores"]
    file = join_lists(content["ids"] if "ids" in content else content["indexes"], content["boxes"], scores)
    if int(content.get("bbox_mode", 0)) == 1:
        file.boxes[:, 2:] += file.boxes[:, :2]
    return file


def _read_matlab(path: Path, dataset: Dataset) -> ProposalFile:
    """Read a list of Fast R-CNN: one cell per image, (y1, x1, y2, x2) of first and last pixel, from 1; no scores."""
    from scipy.io import loadmat  # only these lists need it

    content = loadmat(str(path))
    cells = content["boxes"].ravel()
    pixels = [np.asarray(cell, np.float32).reshape(-1, 4)[:, (1, 0, 3, 2)] for cell in cells]
    names = [str(np.ravel(name)[0]) for name in content["images"].ravel()]
    ids = {Path(image["file_name"]).stem: image["id"] for image in dataset.ground_truth()["images"]}
    pairs = [(ids[name], boxes) for name, boxes in zip(names, pixels, strict=True) if name in ids]
    boxes = [image_boxes - np.array([1, 1, 0, 0], np.float32) for _, image_boxes in pairs]
    ranks = [-np.arange(len(image_boxes)) for image_boxes in boxes]
    return join_lists([image_id for image_id, _ in pairs], boxes, ranks)
