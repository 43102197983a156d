from __future__ import annotations

import pytest
import torch
import torchvision

from lineage.ops.roi_align import roi_align_bags

SHAPE = (2, 5, 13, 17)


def regions(dtype: torch.dtype) -> torch.Tensor:
    """Inside, across every border, wholly outside, of no size, turned around."""
    generator = torch.Generator().manual_seed(0)
    low = torch.rand(40, 2, generator=generator) * 24 - 5
    anywhere = torch.cat((low, low + torch.rand(40, 2, generator=generator) * 12), 1)
    odd = torch.tensor([[0.0, 0, 17, 13], [-30, -30, -20, -20], [3, 3, 3, 3], [9, 8, 2, 1], [16.5, 12.5, 18, 14]])
    boxes = torch.cat((anywhere, odd))
    return torch.cat((torch.arange(len(boxes))[:, None] % 2, boxes), 1).to(dtype)


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("sampling", [1, 2, 3])
def test_bags_equal_torchvisions_kernel_and_its_gradient(sampling: int, aligned: bool) -> None:
    feature = torch.randn(SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    rois = regions(torch.float64)
    ours, theirs = feature.clone().requires_grad_(), feature.clone().requires_grad_()
    found = roi_align_bags(ours, rois, 4, sampling, aligned)
    expected = torchvision.ops.roi_align(theirs, rois, 4, 1.0, sampling, aligned)
    torch.testing.assert_close(found, expected)
    weight = torch.randn(found.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    (found * weight).sum().backward()
    (expected * weight).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_half_precision_is_summed_in_single() -> None:
    feature, rois = torch.randn(SHAPE).bfloat16(), regions(torch.bfloat16)
    found = roi_align_bags(feature, rois, 4, 2, True)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found, roi_align_bags(feature.float(), rois.float(), 4, 2, True).bfloat16())


def test_no_regions_give_no_bins() -> None:
    feature = torch.randn(SHAPE, requires_grad=True)
    found = roi_align_bags(feature, torch.zeros(0, 5), 4, 2, True)
    assert found.shape == (0, SHAPE[1], 4, 4)
    found.sum().backward()
    assert feature.grad is not None
