"""Proposals that were made before the detector: Fast R-CNN (arXiv:1504.08083), section 2.3.

A source answers a sample with boxes in the pixels of its file, best first; `WithProposals` puts them into the samples
of any dataset. Files hold the regions of many images, here as .npz of four arrays: `ids` [I], `rows` [I] (how many
regions each image has), `boxes` [N, 4] float32 (x1, y1, x2, y2) in file pixels and `scores` [N] float32, all images'
one after the other. Older lists are read too: Fast R-CNN's .mat and detectron2's and Detectron's .pkl.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision import tv_tensors as tv

from lineage.data.annotations.defects import Defect, Record
from lineage.data.samples.dataset import Dataset, ObjectLabels
from lineage.data.samples.sample import Sample
from lineage.ops.random import fold_in
from lineage.results.atomic import atomic_write
from lineage.weights.safe_pickle import load_pickle

Boxes = NDArray[np.float32]  # [r, 4] x1, y1, x2, y2


class ProposalsError(ValueError):
    """Proposals that cannot be read or do not belong to the dataset; the message says what would be right."""


class Source(Protocol):
    fingerprint: str  # of everything its answers depend on besides the image

    def __call__(self, sample: Sample) -> Boxes:
        """Regions in the pixels of the sample's file, best first."""
        ...


class WithProposals:
    """A dataset whose samples carry the first `top_k` regions of a source; all else is that of the dataset."""

    def __init__(self, dataset: Dataset, *, source: Callable[[Dataset], Source], top_k: int) -> None:
        self.dataset, self.top_k = dataset, top_k
        self.regions = source(dataset)
        told = f"{dataset.fingerprint} {self.regions.fingerprint} {top_k}"
        self.fingerprint = hashlib.sha256(told.encode()).hexdigest()
        self.meta, self.ids, self.sizes = dataset.meta, dataset.ids, dataset.sizes
        self.part_lengths, self.source = dataset.part_lengths, dataset.source

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        sample = self.dataset[index]
        boxes = torch.from_numpy(np.ascontiguousarray(self.regions(sample)[: self.top_k]))
        return sample._replace(proposals=tv.BoundingBoxes(boxes, format="XYXY", canvas_size=sample.original_size))

    def ground_truth(self) -> dict[str, Any]:
        return self.dataset.ground_truth()

    def object_labels(self) -> ObjectLabels:
        return self.dataset.object_labels()

    def find_defects(self, progress: Callable[[Sequence[Record]], Iterable[Record]]) -> Iterator[Defect]:
        return self.dataset.find_defects(progress)


class ProposalFile(NamedTuple):
    """The proposals of I images, N in all."""

    ids: NDArray[np.int64]  # [I]
    rows: NDArray[np.int64]  # [I]
    boxes: Boxes  # [N, 4]
    scores: NDArray[np.float32]  # [N]


class Stored:
    """Regions from a file, by image id."""

    def __init__(self, dataset: Dataset, *, path: str) -> None:
        self.path = Path(path)
        self.regions = read(self.path, dataset)
        ends = np.cumsum(self.regions.rows)
        self.place = {int(id): slot for slot, id in enumerate(self.regions.ids)}
        self.spans = np.stack([ends - self.regions.rows, ends], axis=1)
        digest = hashlib.sha256(self.regions.boxes.tobytes())
        digest.update(self.regions.ids.tobytes() + self.regions.scores.tobytes())
        self.fingerprint = digest.hexdigest()

    def __call__(self, sample: Sample) -> Boxes:
        if sample.image_id not in self.place:
            raise ProposalsError(
                f"{self.path} has no regions of image {sample.image_id}: it was made from another dataset or split. "
                "Make it again: python train.py model=rpn dump_proposals=true with this dataset"
            )
        start, end = self.spans[self.place[sample.image_id]]
        order = np.argsort(-self.regions.scores[start:end], kind="stable")
        return self.regions.boxes[start:end][order]


def read(path: Path, dataset: Dataset) -> ProposalFile:
    """Any of the known formats; ProposalsError if it is none or damaged."""
    readers = {".npz": _npz, ".pkl": _pickle, ".mat": _matlab}
    if path.suffix not in readers:
        raise ProposalsError(f"{path}: proposals are read from {', '.join(readers)}")
    if not path.is_file():
        raise ProposalsError(
            f"{path}: no such file. An RPN leaves one: python train.py model=rpn dump_proposals=true, then "
            "proposals=file proposals.folder=<its run folder>/proposals"
        )
    try:
        regions = readers[path.suffix](path, dataset)
    except (KeyError, BadZipFile, OSError, EOFError, TypeError, IndexError, ValueError, NotImplementedError) as error:
        raise ProposalsError(f"{path}: no list of proposals, or damaged ({type(error).__name__}: {error})") from error
    lengths = len(regions.boxes), len(regions.scores), int(regions.rows.sum())
    if len(set(lengths)) > 1 or len(regions.ids) != len(regions.rows) or regions.boxes.shape[1:] != (4,):
        raise ProposalsError(f"{path}: boxes, scores and rows disagree: {lengths[0]}, {lengths[1]} and {lengths[2]}")
    return regions


def write(path: Path, regions: ProposalFile) -> None:
    """Write the regions as .npz."""
    atomic_write(path, lambda temporary: np.savez(temporary, **regions._asdict()), durable=True)


def join(parts: Iterable[ProposalFile]) -> ProposalFile:
    """The regions of several processes; an image that two of them saw counts once."""
    ids, rows, boxes, scores = (np.concatenate(column) for column in zip(*parts, strict=True))
    first = np.zeros(len(ids), dtype=bool)
    first[np.unique(ids, return_index=True)[1]] = True
    row = np.repeat(first, rows)
    return ProposalFile(ids[first], rows[first], boxes[row], scores[row])


def _npz(path: Path, dataset: Dataset) -> ProposalFile:
    with np.load(path, allow_pickle=False) as arrays:
        return ProposalFile(
            arrays["ids"].astype(np.int64),
            arrays["rows"].astype(np.int64),
            arrays["boxes"].astype(np.float32),
            arrays["scores"].astype(np.float32),
        )


def _pickle(path: Path, dataset: Dataset) -> ProposalFile:
    """detectron2: ids, boxes, objectness_logits, bbox_mode (0 corners, 1 sides); Detectron: ids or indexes, scores."""
    content = load_pickle(path)
    scores = content["objectness_logits"] if "objectness_logits" in content else content["scores"]
    lists = listed(content["ids"] if "ids" in content else content["indexes"], content["boxes"], scores)
    if int(content.get("bbox_mode", 0)) == 1:
        lists.boxes[:, 2:] += lists.boxes[:, :2]
    return lists


def _matlab(path: Path, dataset: Dataset) -> ProposalFile:
    """Fast R-CNN's lists: one cell per image, (y1, x1, y2, x2) of first and last pixel, counted from 1; no scores."""
    from scipy.io import loadmat  # only these lists need it

    content = loadmat(str(path))
    cells = content["boxes"].ravel()
    pixels = [np.asarray(cell, np.float32).reshape(-1, 4)[:, (1, 0, 3, 2)] for cell in cells]
    names = [str(np.ravel(name)[0]) for name in content["images"].ravel()]
    known = {Path(image["file_name"]).stem: image["id"] for image in dataset.ground_truth()["images"]}
    wanted = [(known[name], boxes) for name, boxes in zip(names, pixels, strict=True) if name in known]
    boxes = [one - np.array([1, 1, 0, 0], np.float32) for _, one in wanted]
    return listed([id for id, _ in wanted], boxes, [-np.arange(len(one)) for one in boxes])


def listed(ids: Iterable[Any], boxes: Iterable[Any], scores: Iterable[Any]) -> ProposalFile:
    """From one list entry per image."""
    each = [np.array(one, np.float32).reshape(-1, 4) for one in boxes]
    ranks = [np.asarray(one, np.float32).ravel() for one in scores]
    return ProposalFile(
        np.array([int(id) for id in ids], np.int64),
        np.array([len(one) for one in each], np.int64),
        np.concatenate([np.zeros((0, 4), np.float32), *each]),
        np.concatenate([np.zeros(0, np.float32), *ranks]),
    )


class Jittered:
    """Objects moved about a little, among random boxes, in a random order: a proposer of known recall.

    A share `recall` of the objects is proposed `copies` times; the first copy overlaps its object by 0.7 or more, the
    borders of the others move by a normal number of `shift` sides. A function of the image id alone.
    """

    CLOSE = 0.08  # no border moves by more sides than this: then the overlap is at least (1 - 2 x 0.08)^2 > 0.7

    def __init__(self, dataset: Dataset, *, copies: int, random: int, shift: float, recall: float) -> None:
        self.copies, self.random, self.shift, self.recall = copies, random, shift, recall
        self.fingerprint = f"jittered {copies} {random} {shift} {recall}"

    def __call__(self, sample: Sample) -> Boxes:
        chance = np.random.Generator(np.random.PCG64(fold_in("jittered", sample.image_id)))
        objects = sample.boxes.numpy()[~sample.crowd.numpy()]
        objects = objects[chance.random(len(objects)) < self.recall].repeat(self.copies, axis=0)
        moves = chance.normal(0, self.shift, (len(objects), 4))
        closest = np.arange(len(objects)) % self.copies == 0
        moves[closest] = moves[closest].clip(-self.CLOSE, self.CLOSE)
        sides = np.tile(objects[:, 2:] - objects[:, :2], 2)
        boxes = np.concatenate([objects + moves * sides, self._anywhere(chance, sample.original_size)])
        height, width = sample.original_size
        boxes = np.sort(boxes.reshape(-1, 2, 2), axis=1).reshape(-1, 4).clip(0, [width, height, width, height])
        return chance.permutation(boxes).astype(np.float32)

    def _anywhere(self, chance: np.random.Generator, size: tuple[int, int]) -> NDArray[np.float64]:
        height, width = size
        sides = np.exp(chance.uniform(np.log(0.06), 0, (self.random, 2))) * [width, height]
        corner = chance.random((self.random, 2)) * ([width, height] - sides)
        return np.concatenate([corner, corner + sides], axis=1)
