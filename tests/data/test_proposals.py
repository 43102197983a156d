"""Proposals made before: carried by samples, read from every format, refused where they do not belong."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import savemat

from lineage.data.collate import collate
from lineage.data.proposals.file import ProposalFile, StoredProposals, join_files, read_proposals, write_proposals
from lineage.data.proposals.jittered import JitteredProposals
from lineage.data.proposals.source import ProposalsError, WithProposals
from lineage.data.shapes.dataset import Shapes

IDS = [1, 2, 3]
BOXES = [np.array([[1, 2, 30, 40], [5, 5, 20, 25]]), np.zeros((0, 4)), np.array([[0, 0, 64, 64]])]
SCORES = [np.array([0.2, 0.9]), np.zeros(0), np.array([0.5])]


@pytest.fixture(scope="module")
def shapes() -> Shapes:
    return Shapes(seed=1, length=3, size=64)


def npz(folder: Path, ids: list[int] = IDS) -> Path:
    rows = np.array([len(one) for one in BOXES])
    write_proposals(
        folder / "val.npz", ProposalFile(np.array(ids), rows, np.concatenate(BOXES), np.concatenate(SCORES))
    )
    return folder / "val.npz"


def pkl(folder: Path, content: dict[str, Any]) -> Path:
    (folder / "val.pkl").write_bytes(pickle.dumps(content))
    return folder / "val.pkl"


def found(path: Path, dataset: Shapes) -> list[list[list[float]]]:
    source = StoredProposals(dataset, path=str(path))
    return [source(dataset[index]).tolist() for index in range(3)]


BEST_FIRST = [[[5, 5, 20, 25], [1, 2, 30, 40]], [], [[0, 0, 64, 64]]]


def test_regions_come_best_first_from_any_format(tmp_path: Path, shapes: Shapes) -> None:
    sides = [np.concatenate([one[:, :2], one[:, 2:] - one[:, :2]], 1) for one in BOXES]
    assert found(npz(tmp_path), shapes) == BEST_FIRST
    detectron2 = {"ids": IDS, "boxes": sides, "objectness_logits": SCORES, "bbox_mode": 1}
    assert found(pkl(tmp_path, detectron2), shapes) == BEST_FIRST
    detectron = {"indexes": IDS, "boxes": BOXES, "scores": SCORES}
    assert found(pkl(tmp_path, detectron), shapes) == BEST_FIRST


def test_matlab_counts_pixels_from_one_and_rows_first(tmp_path: Path, shapes: Shapes) -> None:
    cells, names = np.empty((1, 2), object), np.empty((1, 2), object)
    cells[0, 0], cells[0, 1] = np.array([[3, 2, 40, 30], [1, 1, 64, 64]]), np.array([[1, 1, 5, 6]])
    names[0, 0], names[0, 1] = "000000000001", "000000000003"
    savemat(tmp_path / "voc.mat", {"boxes": cells, "images": names})
    source = StoredProposals(shapes, path=str(tmp_path / "voc.mat"))
    assert source(shapes[0]).tolist() == [[1, 2, 30, 40], [0, 0, 64, 64]]
    assert source(shapes[2]).tolist() == [[0, 0, 6, 5]]


def test_samples_and_batches_carry_the_best(tmp_path: Path, shapes: Shapes) -> None:
    with_two = WithProposals(shapes, source=lambda dataset: StoredProposals(dataset, path=str(npz(tmp_path))), top_k=1)
    assert [len(with_two[index].proposals) for index in range(3)] == [1, 0, 1]
    assert (len(with_two), with_two.meta, with_two.part_lengths) == (3, shapes.meta, (3,))
    assert with_two.fingerprint != shapes.fingerprint
    batch = collate([with_two[0], with_two[1]], [1, 2])
    assert batch.images.proposals is not None
    assert batch.images.proposals.valid.sum(1).tolist() == [1, 0]
    assert batch.images.proposals.boxes[0, 0].tolist() == [5, 5, 20, 25]
    again = pickle.loads(pickle.dumps(WithProposals(shapes, source=_jittered, top_k=5)))  # spawned workers
    assert len(again[0].proposals) == 5


def _jittered(dataset: Any) -> JitteredProposals:
    return JitteredProposals(dataset, copies=3, random=20, shift=0.2, recall=0.5)


def test_an_image_without_an_entry_is_named(tmp_path: Path, shapes: Shapes) -> None:
    with pytest.raises(ProposalsError, match=r"val\.npz has no regions of image 1: it was made from another dataset"):
        found(npz(tmp_path, [7, 8, 9]), shapes)


def test_what_is_no_list_is_refused(tmp_path: Path, shapes: Shapes) -> None:
    with pytest.raises(ProposalsError, match=r"no such file.*model=rpn dump_proposals=true"):
        read_proposals(tmp_path / "none.npz", shapes)
    (tmp_path / "cut.npz").write_bytes(npz(tmp_path).read_bytes()[:100])
    with pytest.raises(ProposalsError, match=r"cut\.npz: no list of proposals, or damaged"):
        read_proposals(tmp_path / "cut.npz", shapes)
    np.savez(tmp_path / "bad.npz", ids=[1], rows=[3], boxes=np.zeros((2, 4)), scores=np.zeros(2))
    with pytest.raises(ProposalsError, match=r"disagree: 2, 2 and 3"):
        read_proposals(tmp_path / "bad.npz", shapes)
    with pytest.raises(ProposalsError, match=r"read from \.npz, \.pkl, \.mat"):
        read_proposals(tmp_path / "list.txt", shapes)


def test_a_pickle_is_read_and_never_run(tmp_path: Path, shapes: Shapes) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "touched",))

    with pytest.raises(ProposalsError, match="nothing of it was run"):
        read_proposals(pkl(tmp_path, {"ids": Evil()}), shapes)
    assert not (tmp_path / "touched").exists()


def test_parts_of_processes_join_each_image_once() -> None:
    one = ProposalFile(np.array([4, 5]), np.array([1, 2]), np.arange(12.0).reshape(3, 4), np.array([1.0, 2, 3]))
    two = ProposalFile(np.array([6, 4]), np.array([0, 1]), np.zeros((1, 4)), np.array([9.0]))
    both = join_files([one, two])
    assert (both.ids.tolist(), both.rows.tolist(), both.scores.tolist()) == ([4, 5, 6], [1, 2, 0], [1, 2, 3])


def test_jittered_has_the_recall_it_says() -> None:
    many = Shapes(seed=3, length=60, size=128)
    proposer = JitteredProposals(many, copies=4, random=30, shift=0.3, recall=0.7)
    hit = total = 0
    for index in range(60):
        sample = many[index]
        boxes, objects = proposer(sample), sample.boxes.numpy()[~sample.crowd.numpy()]
        assert np.array_equal(boxes, proposer(sample))
        assert ((boxes >= 0) & (boxes <= 128)).all()
        hit += (overlap(objects, boxes).max(1) >= 0.7).sum()
        total += len(objects)
    assert 0.65 < hit / total < 0.85  # random boxes and copies of neighbours add a little
    empty = JitteredProposals(many, copies=4, random=0, shift=0.3, recall=0.0)
    assert empty(many[0]).shape == (0, 4)


def overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = (high - low).clip(0).prod(2)
    return shared / ((a[:, 2:] - a[:, :2]).prod(1)[:, None] + (b[:, 2:] - b[:, :2]).prod(1) - shared)


def test_jittered_moves_borders_both_ways_and_those_of_first_copies_little(shapes: Shapes) -> None:
    """With a shift of no size the objects themselves are proposed; a huge one moves first copies by 0.08 sides."""
    height, width = 4096, 3000
    inner = torch.tensor([[900, 700, 1100, 1000], [2000, 2000, 2400, 2100], [1500, 800, 1700, 900]]).float()
    crowd = torch.tensor([False, True, False])
    sample = shapes[0]._replace(boxes=inner, crowd=crowd, original_size=(height, width))
    objects = inner[[0, 2]].numpy()
    for copies in (1, 3):
        still = JitteredProposals(shapes, copies=copies, random=0, shift=0.0, recall=1.0)(sample)
        assert sorted(still.tolist()) == sorted(objects.repeat(copies, axis=0).tolist())
    far = JitteredProposals(shapes, copies=1, random=0, shift=1e4, recall=1.0)(sample)
    far = far[far[:, 0].argsort()]
    moves = (far - objects) / np.tile(objects[:, 2:] - objects[:, :2], 2)
    np.testing.assert_allclose(np.abs(moves), 0.08, atol=1e-5)
    assert {*np.sign(moves).ravel()} == {-1, 1}
    random = JitteredProposals(shapes, copies=1, random=400, shift=0.1, recall=0.0)(sample)
    sides = (random[:, 2:] - random[:, :2]) / [width, height]
    assert random.shape == (400, 4)
    assert 0.06 <= sides.min() < 0.07
    assert 0.9 < sides.max() <= 1
    assert abs(np.median(np.log(sides)) - np.log(0.06) / 2) < 0.15, "sides are uniform in their logarithm"
    assert random.min() >= 0
    assert (random <= [width, height, width, height]).all()
