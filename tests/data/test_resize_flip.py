from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch.utils._pytree import tree_leaves
from torchvision import tv_tensors as tv
from torchvision.transforms import v2

from lineage.data.samples.mask_crops import MaskCrops
from lineage.data.samples.sample import Sample
from lineage.data.transforms.resize_flip import Flip, ShortEdge, bind, clean


def scene(n: int = 4, height: int = 37, width: int = 53, joints: int = 5) -> Sample:
    """Boxes tight around random masks, keypoints anywhere inside."""
    generator = torch.Generator().manual_seed(n)
    masks = torch.zeros(n, height, width, dtype=torch.uint8)
    boxes = torch.zeros(n, 4)
    for mask, box in zip(masks, boxes, strict=True):
        y0, x0 = (int(torch.randint(0, limit // 2, (), generator=generator)) for limit in (height, width))
        y1, x1 = y0 + int(torch.randint(3, height // 2, (), generator=generator)), x0 + 11
        mask[y0:y1, x0:x1] = 1
        box.copy_(torch.tensor([x0, y0, x1, y1]))
    canvas = (height, width)
    return Sample(
        image=tv.Image(torch.randint(256, (3, height, width), dtype=torch.uint8, generator=generator)),
        boxes=tv.BoundingBoxes(boxes, format="XYXY", canvas_size=canvas),
        labels=torch.arange(n),
        crowd=torch.zeros(n, dtype=torch.bool),
        masks=MaskCrops.from_masks(masks),
        keypoints=tv.KeyPoints(torch.randint(0, height, (n, joints, 2), generator=generator) + 0.5, canvas_size=canvas),
        visibility=torch.randint(0, 3, (n, joints), generator=generator),
        image_id=5,
        original_size=canvas,
    )


def same(a: Sample, b: Sample) -> bool:
    assert a.masks is not None
    assert b.masks is not None
    pairs = zip(tree_leaves(a), tree_leaves(b), strict=True)
    return a.masks.windows.equal(b.masks.windows) and all(
        x.equal(y) if isinstance(x, torch.Tensor) else x == y for x, y in pairs
    )


def mirror(*names: int) -> Flip:
    """A certain flip, for a dataset whose keypoints become these in a mirror."""
    flip = Flip(1.0)
    bind(v2.Compose([flip]), SimpleNamespace(meta=SimpleNamespace(flip_indices=names)))
    return flip


def test_flip_twice_is_the_identity() -> None:
    flip = mirror(1, 0, 2, 4, 3)
    sample = scene()
    once = flip(sample)
    assert not same(once, sample)
    assert same(flip(once), sample)


def test_flip_moves_masks_boxes_and_keypoints_to_the_same_place() -> None:
    sample = scene(1)
    box = sample.boxes[0]
    centre = torch.tensor([[[(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]]]).expand(1, 5, 2)
    sample = sample._replace(keypoints=tv.wrap(centre.clone(), like=sample.keypoints))
    flipped = Flip(1.0)(sample)
    assert flipped.masks is not None
    x, y, width, height = flipped.masks.windows[0].tolist()
    assert flipped.boxes[0].tolist() == [x, y, x + width, y + height]
    assert flipped.keypoints is not None
    assert flipped.keypoints[0, 0].tolist() == [x + width / 2, y + height / 2]


def test_flip_swaps_the_names_of_joints_with_their_visibility() -> None:
    sample = scene(1, joints=3)
    flipped = mirror(0, 2, 1)(sample)
    assert sample.keypoints is not None
    assert flipped.keypoints is not None
    assert sample.visibility is not None
    assert flipped.visibility is not None
    assert flipped.visibility[0].tolist() == sample.visibility[0, [0, 2, 1]].tolist()
    assert flipped.keypoints[0, 1, 0] == 53 - sample.keypoints[0, 2, 0]
    assert flipped.keypoints[0, 1, 1] == sample.keypoints[0, 2, 1]


@pytest.mark.parametrize(("height", "width", "expected"), [
    (480, 640, (800, 1067)), (427, 640, (800, 1199)), (640, 427, (1199, 800)), (360, 640, (750, 1333)),
    (500, 500, (800, 800)), (10, 1000, (13, 1333)),
])  # fmt: skip
def test_short_edge_gives_the_sizes_of_the_paper(height: int, width: int, expected: tuple[int, int]) -> None:
    sample = scene(0, height, width)
    assert ShortEdge([800], 1333)(sample).image.shape[-2:] == expected


def test_short_edge_scales_everything_alike() -> None:
    sample = ShortEdge([111], 1000)(scene())
    assert sample.masks is not None
    assert sample.image.shape[-2:] == sample.masks.canvas_size == sample.boxes.canvas_size == (111, 159)
    for box, (x, y, width, height) in zip(sample.boxes.tolist(), sample.masks.windows.tolist(), strict=True):
        assert box == pytest.approx([x, y, x + width, y + height], abs=0.51)
    assert sample.original_size == (37, 53)


def test_short_edge_draws_every_size() -> None:
    torch.manual_seed(0)
    transform = ShortEdge([20, 30, 40], 1000)
    assert {int(transform(scene(0)).image.shape[-2]) for _ in range(30)} == {20, 30, 40}


def test_clean_drops_an_object_with_all_that_belongs_to_it() -> None:
    sample = scene(4)
    boxes = sample.boxes.clone()
    boxes[1] = torch.tensor([60.0, 5.0, 70.0, 9.0])  # beyond the right border: nothing is left
    boxes[2, 2] = 99.0
    cleaned = clean(sample._replace(boxes=tv.wrap(boxes, like=sample.boxes)))
    assert cleaned.labels.tolist() == [0, 2, 3]
    assert cleaned.boxes[1, 2] == 53
    assert sample.masks is not None
    assert cleaned.masks is not None
    assert cleaned.masks.dense().equal(sample.masks.dense()[[0, 2, 3]])
    assert cleaned.keypoints is not None
    assert cleaned.visibility is not None
    assert len(cleaned.crowd) == len(cleaned.keypoints) == len(cleaned.visibility) == 3


def test_clean_drops_an_object_whose_mask_vanished_but_keeps_a_crowd() -> None:
    empty = MaskCrops.from_masks(torch.zeros(2, 37, 53))
    sample = scene(2)._replace(masks=empty, crowd=torch.tensor([True, False]))
    assert clean(sample).labels.tolist() == [0]


def test_clean_hides_keypoints_outside_the_image() -> None:
    sample = scene(1, joints=2)
    points = torch.tensor([[[-1.0, 5.0], [5.0, 5.0]]])
    cleaned = clean(
        sample._replace(keypoints=tv.wrap(points, like=sample.keypoints), visibility=torch.tensor([[2, 2]]))
    )
    assert cleaned.visibility is not None
    assert cleaned.visibility.tolist() == [[0, 2]]


def test_torchvision_transforms_take_a_sample_too() -> None:
    compose = v2.Compose(
        [ShortEdge([60], 100), v2.ColorJitter(0.5), v2.RandomCrop(50, pad_if_needed=True), Flip(1.0), clean]
    )
    sample = compose(scene())
    assert isinstance(sample, Sample)
    assert sample.masks is not None
    assert sample.image.shape[-2:] == sample.masks.canvas_size == (50, 50)
    assert len(sample.labels) == len(sample.masks) == len(sample.boxes)


def test_without_objects_masks_or_keypoints() -> None:
    bare = scene(0)._replace(masks=None, keypoints=None, visibility=None)
    for sample in (bare, scene(0)):
        assert len(clean(Flip(1.0)(ShortEdge([50], 90)(sample))).labels) == 0
