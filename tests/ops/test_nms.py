import pytest
import torch
import torchvision

from lineage.ops.nms import nms
from tests.ops.interpreter import run_interpreted
from tests.ops.test_boxes import random_boxes


@pytest.mark.parametrize("seed", range(10))
def test_survivors_equal_torchvision(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    boxes = random_boxes(3, 100, seed=seed)
    groups = torch.randint(0, 4, (3, 100), generator=generator)
    valid = torch.rand(3, 100, generator=generator) > 0.2
    keep = nms(boxes, groups, valid, 0.5)
    scores = torch.linspace(1, 0.1, 100)
    for row in range(3):
        index = valid[row].nonzero()[:, 0]
        kept = index[torchvision.ops.batched_nms(boxes[row][index], scores[index], groups[row][index], 0.5)]
        assert torch.equal(keep[row].nonzero()[:, 0], kept.sort().values)


@pytest.mark.parametrize("origin", [0.0, -50.0, 700.0])
def test_groups_are_moved_apart_by_more_than_the_extent(origin: float) -> None:
    """Boxes of one pixel in opposite corners: of two groups they never meet, of one group only the equal ones."""
    corners = torch.tensor([[99.0, 99], [98, 98], [0, 0], [1, 1], [0, 0], [99, 99]]) + origin
    boxes = torch.cat((corners, corners + 1), 1)[None]
    valid = torch.ones(1, 6, dtype=torch.bool)
    groups = torch.tensor([[0, 0, 1, 1, 2, 2]])
    assert nms(boxes, groups, valid, 0.5).all()
    assert nms(boxes, torch.zeros_like(groups), valid, 0.5).tolist() == [[True, True, True, True, False, False]]


def test_nothing_valid_leaves_nothing() -> None:
    valid = torch.zeros(2, 5, dtype=torch.bool)
    assert not nms(torch.zeros(2, 5, 4), torch.zeros(2, 5, dtype=torch.int64), valid, 0.5).any()


CUDA_KERNEL = """
import torch
from lineage.ops.nms import nms
from lineage.ops.nms_cuda import suppress
from tests.ops.test_boxes import random_boxes
for rows, count, groups, usable in ((2, 70, 3, 0.9), (1, 128, 1, 1.0), (1, 130, 2, 0.4), (1, 5, 1, 0), (0, 5, 1, 1)):
    generator = torch.Generator().manual_seed(count)
    boxes = random_boxes(rows, count, seed=5, extent=60)
    group = torch.randint(0, groups, (rows, count), generator=generator)
    valid = torch.rand(rows, count, generator=generator) < usable
    if rows:
        valid[:, count // 2 :] &= usable < 1
    assert torch.equal(suppress(boxes, group, valid, 0.5), nms(boxes, group, valid, 0.5) if rows else valid)
"""


def test_the_cuda_kernel_agrees_under_tritons_interpreter() -> None:
    run_interpreted("-c", CUDA_KERNEL)
