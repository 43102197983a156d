from __future__ import annotations

from functools import partial

import pytest
import torch
from torchvision import tv_tensors as tv

from lineage.data.transforms import crop
from lineage.data.transforms.crop import RandomCrop
from lineage.data.transforms.geometry import AugmentError
from lineage.data.transforms.sanitize import sanitize
from tests.data.samples import full, scene


def test_a_crop_is_a_window_of_its_size_anywhere_inside() -> None:
    torch.manual_seed(0)
    sample = scene(2, 20, 30)
    rows = torch.arange(20)[:, None] + torch.zeros(30, dtype=torch.int64)
    places = torch.stack([rows, torch.arange(30).expand(20, 30), rows]).byte()
    transform = RandomCrop(window=partial(crop.absolute, size=[18, 27]), single_category_max_area=None)
    corners = set()
    for _ in range(200):
        cut = transform(sample._replace(image=tv.Image(places))).image
        assert cut.shape == (3, 18, 27)
        top, left = int(cut[0, 0, 0]), int(cut[1, 0, 0])
        assert cut.equal(places[:, top : top + 18, left : left + 27])
        corners.add((top, left))
    assert corners == {(top, left) for top in range(3) for left in range(4)}


def test_a_window_larger_than_the_image_is_the_image() -> None:
    sample = full()
    cut = RandomCrop(window=partial(crop.absolute, size=[100, 20]), single_category_max_area=None)(sample)
    assert cut.image.shape == (3, 37, 20)
    assert cut.masks.canvas_size == cut.boxes.canvas_size == (37, 20)


@pytest.mark.parametrize(("window", "low", "high"), [
    (partial(crop.relative, shares=[0.5, 0.9]), (20, 54), (20, 54)),
    (partial(crop.relative_range, min_shares=[0.5, 0.9]), (20, 54), (40, 60)),
    (partial(crop.absolute_range, side_range=[10, 50]), (10, 10), (40, 50)),
    (partial(crop.absolute_range, side_range=[384, 600]), (40, 60), (40, 60)),
])  # fmt: skip
def test_windows_stay_between_their_limits(window: object, low: tuple[int, int], high: tuple[int, int]) -> None:
    torch.manual_seed(0)
    sizes = torch.tensor([window((40, 60)) for _ in range(300)])  # type: ignore[operator]
    assert sizes.amin(0).tolist() == list(low)
    assert sizes.amax(0).tolist() == list(high)


def test_a_cut_object_keeps_the_part_inside() -> None:
    sample = full(4)
    torch.manual_seed(3)
    cut = sanitize(RandomCrop(window=partial(crop.absolute, size=[20, 20]), single_category_max_area=None)(sample))
    assert (cut.boxes >= 0).all()
    assert (cut.boxes <= 20).all()
    for mask, box in zip(cut.masks.dense(), cut.boxes.tolist(), strict=True):  # tight boxes stay tight: masks are full
        ys, xs = mask.nonzero().T
        assert box == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]


def test_a_window_filled_by_one_class_is_drawn_again() -> None:
    labels = torch.zeros(40, 60, dtype=torch.uint8)
    labels[:, 30:] = 1
    labels[0] = 255
    assert crop.is_balanced(labels, 0.6)
    assert not crop.is_balanced(labels, 0.5)
    assert not crop.is_balanced(labels[:, :20], 1.0)
    sample = scene(1, 40, 60)._replace(semantic=tv.Mask(labels))
    window = partial(crop.absolute, size=[10, 30])
    torch.manual_seed(0)
    free, bound = (RandomCrop(window=window, single_category_max_area=most) for most in (None, 0.9))
    unbalanced = [sum(not crop.is_balanced(one(sample).semantic, 0.9) for _ in range(100)) for one in (free, bound)]
    assert unbalanced[0] > 15
    assert unbalanced[1] == 0


def test_a_balanced_crop_without_labels_says_what_to_do() -> None:
    with pytest.raises(AugmentError, match="single_category_max_area=null"):
        RandomCrop(window=partial(crop.absolute, size=[5, 5]), single_category_max_area=0.9)(scene())
