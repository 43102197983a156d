"""RoIAlign from a table of all levels' pixels: torchvision's kernel level by level, and one table for all heads."""

from __future__ import annotations

import gc

import pytest
import torch
import torchvision
from torch import Tensor

from lineage.ops import roi_align_cpu
from lineage.ops.roi_align import roi_align
from lineage.ops.roi_align_cpu import roi_align_bags, share_table

SIDES = ((13, 17), (7, 9), (4, 5), (1, 2))


def regions(dtype: torch.dtype) -> Tensor:
    """Inside, across every border, wholly outside, of no size, turned around."""
    generator = torch.Generator().manual_seed(0)
    low = torch.rand(40, 2, generator=generator) * 24 - 5
    anywhere = torch.cat((low, low + torch.rand(40, 2, generator=generator) * 12), 1)
    odd = torch.tensor([[0.0, 0, 17, 13], [-30, -30, -20, -20], [3, 3, 3, 3], [9, 8, 2, 1], [16.5, 12.5, 18, 14]])
    boxes = torch.cat((anywhere, odd))
    return torch.cat((torch.arange(len(boxes))[:, None] % 2, boxes), 1).to(dtype)


def pyramid(dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(2, 5, *side, dtype=dtype, generator=generator) for side in SIDES]


def pool_by_level(maps: list[Tensor], rois: Tensor, level: Tensor, sampling: int, aligned: bool) -> Tensor:
    """Pool by torchvision, one call for each level."""
    pooled = [torchvision.ops.roi_align(one, rois, 4, 1.0, sampling, aligned) for one in maps]
    return torch.stack(pooled)[level, torch.arange(len(rois))]


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("sampling", [1, 2, 3])
@pytest.mark.parametrize("levels", [1, 4])
def test_bags_equal_torchvisions_kernel_and_its_gradient(levels: int, sampling: int, aligned: bool) -> None:
    rois = regions(torch.float64)
    level = torch.arange(len(rois)) % levels
    ours, theirs = pyramid()[:levels], pyramid()[:levels]
    for one in (*ours, *theirs):
        one.requires_grad_()
    maps = [one if i % 2 else one.to(memory_format=torch.channels_last) for i, one in enumerate(ours)]
    pooled = roi_align_bags(maps, rois, level if levels > 1 else None, 4, sampling, aligned)
    expected = pool_by_level(theirs, rois, level, sampling, aligned)
    torch.testing.assert_close(pooled, expected)
    weight = torch.randn(pooled.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    (pooled * weight).sum().backward()
    (expected * weight).sum().backward()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_no_regions_give_no_bins() -> None:
    maps = [one.requires_grad_() for one in pyramid()]
    pooled = roi_align_bags(maps, torch.zeros(0, 5), torch.zeros(0, dtype=torch.int64), 4, 2, True)
    assert pooled.shape == (0, 5, 4, 4)
    pooled.sum().backward()
    assert all(one.grad is not None for one in maps)


def test_half_precision_is_summed_in_single() -> None:
    maps, rois = pyramid(torch.bfloat16), regions(torch.bfloat16)
    level = torch.arange(len(rois)) % len(SIDES)
    pooled = roi_align_bags(maps, rois, level, 4, 2, True)
    assert pooled.dtype == torch.bfloat16
    single = roi_align_bags([one.float() for one in maps], rois.float(), level, 4, 2, True)
    torch.testing.assert_close(pooled, single.bfloat16())


def test_a_box_of_nan_gives_nan_alone() -> None:
    maps, rois = pyramid(), regions(torch.float64)
    rois[3, 2] = torch.nan
    pooled = roi_align_bags(maps[:1], rois, None, 4, 2, True)
    assert pooled[3].isnan().all()
    assert pooled[torch.arange(len(rois)) != 3].isfinite().all()


def test_the_same_maps_have_one_table() -> None:
    maps = [one.requires_grad_() for one in pyramid()]
    table = share_table(maps)
    assert table.shape == (2 * sum(height * width for height, width in SIDES), 5)
    assert share_table(list(maps)) is table
    assert share_table(maps[:2]) is not table
    assert share_table([maps[0], *pyramid()[1:]]) is not table
    with torch.no_grad():
        assert not share_table(maps).requires_grad
        maps[2].add_(1)
    changed = share_table(maps)
    assert changed.requires_grad
    torch.testing.assert_close(changed[-4 - 40 :][:40].view(2, 4, 5, 5).permute(0, 3, 1, 2), maps[2])
    with torch.inference_mode():
        assert share_table(maps) is share_table(maps)
        inner = [one + 0 for one in maps]
        assert share_table(inner) is share_table(inner)


def test_a_table_lives_as_long_as_its_maps() -> None:
    before = len(roi_align_cpu._memos)
    maps = pyramid()
    share_table(maps)
    assert len(roi_align_cpu._memos) == before + 1
    del maps
    gc.collect()
    assert len(roi_align_cpu._memos) == before


@pytest.mark.parametrize("aligned", [True, False])
def test_adaptive_sampling_is_torchvisions(aligned: bool) -> None:
    feature, rois = pyramid(torch.float32)[0], regions(torch.float32)
    expected = torchvision.ops.roi_align(feature, rois, 4, 1.0, 0, aligned)
    assert torch.equal(roi_align([feature], rois, None, 4, 0, aligned), expected)
    assert not torch.equal(expected, torchvision.ops.roi_align(feature, rois, 4, 1.11, 0, aligned))
