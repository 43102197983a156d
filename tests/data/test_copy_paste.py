from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torchvision import tv_tensors as tv

from lineage.data.samples.mask_crops import MaskCrops
from lineage.data.samples.sample import Sample
from lineage.data.transforms.context import Context
from lineage.data.transforms.copy_paste import CopyPaste, crop_or_pad, draw_objects, paste
from lineage.data.transforms.geometry import AugmentError
from lineage.data.transforms.sanitize import sanitize
from tests.data.samples import full, same, scene


def plain(*boxes: tuple[int, int, int, int], grey: int, id: int) -> Sample:
    """Rectangles on a 40 x 60 canvas of one grey; one keypoint in the middle of each."""
    masks = torch.zeros(len(boxes), 40, 60)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[y1:y2, x1:x2] = 1
    corners = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    middle = (corners[:, None, :2] + corners[:, None, 2:]) / 2
    return Sample(
        image=tv.Image(torch.full((3, 40, 60), grey, dtype=torch.uint8)),
        boxes=tv.BoundingBoxes(corners, format="XYXY", canvas_size=(40, 60)),
        labels=torch.full((len(boxes),), id),
        crowd=torch.zeros(len(boxes), dtype=torch.bool),
        masks=MaskCrops.from_masks(masks),
        keypoints=tv.KeyPoints(middle, canvas_size=(40, 60)),
        visibility=torch.full((len(boxes), 1), 2),
        image_id=id,
        original_size=(40, 60),
        semantic=tv.Mask(torch.full((40, 60), id, dtype=torch.uint8)),
    )


def test_what_is_hidden_leaves_masks_boxes_and_the_list() -> None:
    target = plain((0, 0, 20, 20), (30, 10, 34, 14), (40, 0, 50, 10), grey=10, id=1)
    source = plain((10, 0, 38, 20), (0, 30, 5, 40), grey=200, id=2)
    result = paste(target, source, torch.tensor([0]))
    assert result.labels.tolist() == [1, 1, 2]  # the second rectangle is wholly hidden
    assert result.boxes.tolist() == [[0, 0, 10, 20], [40, 0, 50, 10], [10, 0, 38, 20]]
    dense = result.masks.dense()
    assert dense.sum((1, 2)).tolist() == [200, 100, 560]
    assert dense.sum(0).max() == 1
    assert (result.image[:, :20, 10:38] == 200).all()
    assert (result.image == 200).sum() == 3 * 560
    assert (result.semantic == 2).sum() == 560
    assert result.visibility.tolist() == [[1], [2], [2]]  # the middle of the first is now behind the pasted one
    assert result.image_id == 1


def test_pixels_come_from_the_mask_of_the_pasted_objects_alone() -> None:
    target, source = full(3), full(4)._replace(image=full(2, 37, 53).image)
    target = target._replace(proposals=None)
    chosen = torch.tensor([0, 2])
    cover = source.masks.dense()[chosen].bool().any(0)
    result = paste(target, source, chosen)
    assert result.image.equal(torch.where(cover, source.image.as_subclass(Tensor), target.image.as_subclass(Tensor)))
    assert result.masks.dense()[-2:].equal(source.masks.dense()[chosen])
    assert result.object_weights[-2:].equal(source.object_weights[chosen])
    for mask, box in zip(result.masks.dense(), result.boxes.tolist(), strict=True):
        ys, xs = mask.nonzero().T
        assert box == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]


def test_pasting_nothing_changes_nothing() -> None:
    target = full(3)._replace(proposals=None)
    assert same(paste(target, full(4), torch.zeros(0, dtype=torch.int64)), sanitize(target))


def test_any_subset_but_no_crowd_is_chosen() -> None:
    torch.manual_seed(0)
    source = scene(3)._replace(crowd=torch.tensor([False, True, False]))
    drawn = {tuple(draw_objects(source).tolist()) for _ in range(100)}
    assert drawn == {(), (0,), (2,), (0, 2)}


def test_an_image_of_another_size_is_cut_and_grown() -> None:
    sample = sanitize(crop_or_pad(full(4, 50, 30), (37, 53)))
    assert sample.image.shape == (3, 37, 53)
    assert sample.masks.canvas_size == sample.boxes.canvas_size == (37, 53)
    assert sample.image[:, :, :30].equal(full(4, 50, 30).image[:, :37])


class Two:
    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Sample:
        return plain((5 * index, 3, 9 + 5 * index, 20), grey=100 * index, id=index)


def test_the_transform_draws_a_partner_and_repeats_with_its_seed() -> None:
    transform, context = CopyPaste(transform=nn.Identity(), p=1.0), Context(Two(), step=0, seed=0)  # type: ignore[arg-type]
    counts = set()
    for seed in range(20):
        torch.manual_seed(seed)
        first = transform(Two()[0], context)
        torch.manual_seed(seed)
        assert same(first, transform(Two()[0], context))
        counts.add(len(first.labels))
    assert counts == {1, 2}
    never = CopyPaste(transform=nn.Identity(), p=0.0)
    assert same(never(Two()[0], context), sanitize(Two()[0]))


def test_what_cannot_be_pasted_says_why() -> None:
    nothing = torch.zeros(0, dtype=torch.int64)
    with pytest.raises(AugmentError, match="by their masks"):
        paste(scene(2)._replace(masks=None), scene(1), nothing)
    with pytest.raises(AugmentError, match="proposals"):
        paste(full(2), full(1), nothing)
