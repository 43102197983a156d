import pytest
import torch
import torchvision

from lineage.ops.mask_sampling import crop_and_resize
from tests.models.scenes import batch, dense


@pytest.mark.parametrize("aligned", [False, True])
def test_a_crop_equals_roi_align_on_the_whole_mask(aligned: bool) -> None:
    """Where the sampling grid is not capped, a window's crop is torchvision's RoIAlign over the full canvas."""
    size = (96, 128)
    _, targets = batch([size] * 2, [6, 4], 3, canvas=size, seed=3)
    generator = torch.Generator().manual_seed(0)
    regions = (targets.boxes[:, :4] + torch.randn(2, 4, 4, generator=generator) * 4).clamp(min=0)
    regions = torch.minimum(regions, torch.tensor([128.0, 96.0, 128.0, 96.0]))
    regions[:, 0, 2:] = regions[:, 0, :2] + 0.4  # below one pixel, to which the unaligned layer extends it
    gt = torch.arange(4).expand(2, 4)
    found = crop_and_resize(
        targets.masks, regions, gt, torch.tensor([size, size]).float(), size=14, sampling_ratio=12, aligned=aligned
    )
    for image in range(2):
        for slot in range(4):
            mask = dense(targets.masks, image, slot, size).float()[None, None]
            rois = torch.cat((torch.zeros(1, 1), regions[image, slot][None]), 1)
            expected = torchvision.ops.roi_align(mask, rois, 14, 1.0, -1, aligned)[0, 0]
            torch.testing.assert_close(found[image, slot], expected, atol=1e-5, rtol=1e-5)


def test_a_coarse_grid_stays_close() -> None:
    size = (128, 128)
    _, targets = batch([size], [3], 3, canvas=size, seed=1)
    arguments = (targets.masks, targets.boxes[:, :3], torch.arange(3)[None], torch.tensor([size]).float())
    fine = crop_and_resize(*arguments, size=7, sampling_ratio=12, aligned=True)
    coarse = crop_and_resize(*arguments, size=7, sampling_ratio=4, aligned=True)
    assert (fine - coarse).abs().mean() < 0.05
