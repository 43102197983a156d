import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st

from lineage.ops import boxes as box_ops


def random_boxes(*shape: int, seed: int, extent: float = 100) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand(*shape, 2, generator=generator) * extent
    return torch.cat((low, low + 2 + torch.rand(*shape, 2, generator=generator) * extent), -1)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_decode_undoes_encode(seed: int) -> None:
    boxes, anchors = random_boxes(50, seed=seed), random_boxes(50, seed=seed + 1)
    weights = (10.0, 10.0, 5.0, 5.0)
    torch.testing.assert_close(
        box_ops.decode(box_ops.encode(boxes, anchors, weights), anchors, weights), boxes, atol=1e-3, rtol=1e-4
    )


def test_iou_equals_torchvision() -> None:
    a, b = random_boxes(40, seed=1), random_boxes(30, seed=2)
    torch.testing.assert_close(box_ops.iou(a, b), torchvision.ops.box_iou(a, b))


def test_a_wild_delta_stays_finite() -> None:
    boxes = box_ops.decode(torch.full((1, 4), 1e4), random_boxes(1, seed=0), (1, 1, 1, 1))
    assert boxes.isfinite().all()


def test_clip_keeps_each_image_to_its_own_size() -> None:
    boxes = torch.tensor([[[-5.0, -5.0, 50.0, 50.0]], [[-5.0, -5.0, 50.0, 50.0]]])
    clipped = box_ops.clip(boxes, torch.tensor([[20.0, 30.0], [40.0, 10.0]]))
    assert clipped.tolist() == [[[0, 0, 30, 20]], [[0, 0, 10, 40]]]


def test_take_follows_the_index_per_image() -> None:
    values = torch.arange(12.0).view(2, 3, 2)
    assert box_ops.take(values, torch.tensor([[2, 0], [1, 1]])).tolist() == [[[4, 5], [0, 1]], [[8, 9], [8, 9]]]


def test_a_box_grows_by_at_most_1000_sixteenths() -> None:
    """A delta of more is cut, as in Detectron (BBOX_XFORM_CLIP = log(1000 / 16))."""
    anchors = torch.tensor([[0.0, 0.0, 16.0, 8.0]])
    grown = box_ops.decode(torch.tensor([[0.0, 0.0, 50.0, 50.0]]), anchors, (10.0, 10.0, 5.0, 5.0))
    torch.testing.assert_close(grown[0, 2:] - grown[0, :2], torch.tensor([1000.0, 500.0]))
    below = box_ops.decode(torch.tensor([[0.0, 0.0, 5 * 4.1, 0.0]]), anchors, (10.0, 10.0, 5.0, 5.0))
    torch.testing.assert_close(below[0, 2] - below[0, 0], 16 * torch.tensor(4.1).exp())
