"""Points of maps and masks, against grid_sample on dense ones."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from lineage.ops.mask_sampling import sample_points
from lineage.ops.point_sampling import cell_centres, sample, to_canvas
from tests.models.scenes import batch, dense


def test_the_centres_of_a_map_are_its_own_values() -> None:
    maps = torch.randn(2, 3, 5, 5)
    points = cell_centres(5, maps.device).expand(2, 25, 2) * 20
    torch.testing.assert_close(sample(maps, points, (20, 20)), maps.flatten(2).transpose(1, 2))


def test_points_inside_a_box() -> None:
    boxes = torch.tensor([[[10.0, 20.0, 30.0, 60.0]]])
    places = torch.tensor([[[[0.0, 0.0], [1.0, 1.0], [0.5, 0.25]]]])
    assert to_canvas(boxes, places)[0, 0].tolist() == [[10, 20], [30, 60], [20, 30]]


def test_masks_at_points_equal_grid_sample() -> None:
    size = (64, 80)
    _, targets = batch([size, size], [3, 2], 4, canvas=size)
    gt = torch.tensor([[0, 2, 1], [1, 0, 1]])
    points = torch.rand(2, 3, 50, 2) * torch.tensor([80.0, 64.0])
    found = sample_points(targets.masks, points, gt)
    for image in range(2):
        for region in range(3):
            mask = dense(targets.masks, image, int(gt[image, region]), size).float()[None, None]
            grid = (2 * points[image, region] / torch.tensor([80.0, 64.0]) - 1)[None, None]
            wanted = F.grid_sample(mask, grid, align_corners=False)[0, 0, 0]
            torch.testing.assert_close(found[image, region], wanted, atol=1e-4, rtol=1e-4)
