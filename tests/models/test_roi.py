import pytest
import torch
import torchvision
from torchvision.ops.poolers import initLevelMapper

from lineage.models.roi_heads.pooler import Pooler, RoIAlign, RoIPool, RoIWarp
from tests.ops.test_boxes import random_boxes

STRIDES = (4, 8, 16, 32)


def pyramid(height: int, width: int, channels: int = 6) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, channels, height // s, width // s, generator=generator) for s in STRIDES]


@pytest.mark.parametrize("sampling", [0, 2])  # an atlas, one table of pixels
@pytest.mark.parametrize(("height", "width"), [(256, 320), (512, 128), (64, 64), (32, 96)])
def test_one_call_equals_one_per_level(height: int, width: int, sampling: int) -> None:
    maps = pyramid(height, width)
    boxes = random_boxes(2, 60, seed=1, extent=min(height, width) / 2)
    boxes[:, 0] = torch.tensor([0.0, 0.0, width, height])  # touches every border
    boxes[:, 1] = torch.tensor([width - 9.0, height - 7.0, width, height])
    boxes = torch.minimum(boxes, torch.tensor([width, height, width, height]).float())
    pooler = Pooler(
        lambda size: RoIAlign(size, sampling_ratio=sampling, aligned=False, reduce="mean"),
        size=7, strides=STRIDES, canonical_size=224, canonical_level=4,
    )  # fmt: skip
    reference = torchvision.ops.MultiScaleRoIAlign([str(s) for s in STRIDES], 7, sampling)
    # torchvision infers the levels' numbers from the image size; these are what the strides mean
    reference.scales, reference.map_levels = [1 / s for s in STRIDES], initLevelMapper(2, 5)
    expected = reference({str(s): m for s, m in zip(STRIDES, maps, strict=True)}, list(boxes), [(height, width)] * 2)
    torch.testing.assert_close(pooler(maps, boxes), expected, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("aligned", [True, False])
def test_aligned_regions_agree_at_the_border_of_a_level(aligned: bool) -> None:
    maps = pyramid(256, 256)
    boxes = torch.tensor([[[0.0, 0.0, 60.0, 60.0], [190.0, 190.0, 256.0, 256.0]]]).expand(2, 2, 4)
    pooler = Pooler(
        lambda size: RoIAlign(size, sampling_ratio=2, aligned=aligned, reduce="mean"),
        size=7, strides=STRIDES, canonical_size=224, canonical_level=4,
    )  # fmt: skip
    rois = torch.cat((torch.tensor([[0.0], [0], [1], [1]]), boxes.reshape(-1, 4)), 1)
    expected = torchvision.ops.roi_align(maps[0], rois, 7, 1 / 4, 2, aligned)
    torch.testing.assert_close(pooler(maps, boxes), expected, atol=2e-4, rtol=1e-4)


def test_gradients_reach_every_level() -> None:
    maps = [level.requires_grad_() for level in pyramid(256, 256)]
    sides = torch.tensor([20.0, 80.0, 150.0, 250.0])
    boxes = torch.stack((torch.zeros(4), torch.zeros(4), sides, sides), -1).expand(2, 4, 4)
    layer = lambda size: RoIAlign(size, sampling_ratio=2, aligned=True, reduce="mean")  # noqa: E731
    Pooler(layer, size=7, strides=STRIDES, canonical_size=56, canonical_level=3)(maps, boxes).sum().backward()
    assert all(level.grad is not None and level.grad.abs().sum() > 0 for level in maps)


def test_the_layers_differ_as_the_papers_say() -> None:
    """Whole-pixel regions: warp has nothing to round; max is never below mean."""
    feature = torch.randn(1, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    exact = torch.tensor([[0.0, 2.0, 3.0, 11.0, 15.0]])
    shifted = exact + torch.tensor([0.0, 0.3, 0.3, 0.3, 0.3])
    align = RoIAlign(4, sampling_ratio=2, aligned=False, reduce="mean")
    warp = RoIWarp(4, sampling_ratio=2, reduce="mean")
    assert torch.equal(warp([feature], exact), warp([feature], shifted))
    assert not torch.allclose(align([feature], exact), align([feature], shifted))
    assert torch.equal(RoIPool(4)([feature], exact), RoIPool(4)([feature], shifted))
    most = RoIAlign(4, sampling_ratio=2, aligned=False, reduce="max")
    assert (most([feature], exact) >= align([feature], exact) - 1e-6).all()
    torch.testing.assert_close(
        RoIAlign(4, sampling_ratio=1, aligned=False, reduce="max")([feature], exact),
        RoIAlign(4, sampling_ratio=1, aligned=False, reduce="mean")([feature], exact),
    )


def test_warp_reads_the_pixels_that_pool_reads() -> None:
    """On a ramp, RoIPool's pixels 2 to 9 are their own values; RoIWarp's samples lie between them, not half a pixel on.

    A region whose border was counted as a whole pixel more lay half a pixel too far to the right and below.
    """
    ramp = torch.arange(20.0).expand(1, 1, 20, 20)
    region = torch.tensor([[0.0, 2.2, 2.2, 9.3, 9.3]])
    pooled = RoIPool(8)([ramp], region)[0, 0, 0]
    warped = RoIWarp(8, sampling_ratio=2, reduce="mean")([ramp], region)[0, 0, 0]
    assert pooled.tolist() == [2, 3, 4, 5, 6, 7, 8, 9]
    torch.testing.assert_close(warped, 2 + (torch.arange(8) + 0.5) * 7 / 8)  # MNC: bins of (round(x2) - round(x1)) / 8
    torch.testing.assert_close(warped.mean(), pooled.mean())
    point = RoIWarp(2, sampling_ratio=2, reduce="mean")([ramp], torch.tensor([[0.0, 4.6, 4.6, 5.4, 5.4]]))
    assert (point == 5).all()  # a region of one pixel is that pixel


def test_warp_rounds_as_pool() -> None:
    """Halves go up, whatever the whole part and the level's place among all (rounding to even depends on them)."""
    maps = pyramid(256, 256)
    rois = torch.tensor([[0.0, 2.5, 3.5, 9.5, 10.5], [1.0, 0.5, 1.5, 6.5, 7.5]])
    whole = torch.tensor([[0.0, 3, 4, 10, 11], [1.0, 1, 2, 7, 8]])
    warp = RoIWarp(4, sampling_ratio=2, reduce="mean")
    for index, level_map in enumerate(maps[:3]):
        pooled = warp(maps, rois, torch.full((2,), index))
        torch.testing.assert_close(pooled, warp([level_map], whole), atol=1e-4, rtol=1e-4)
        assert torch.equal(RoIPool(4)([level_map], rois), RoIPool(4)([level_map], whole))
