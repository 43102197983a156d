"""Heatmaps of keypoints: against torchvision's own two functions, and there and back."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torchvision.models.detection.roi_heads import heatmaps_to_keypoints, keypoints_to_heatmap

from lineage.ops import keypoints
from lineage.ops.keypoints import decode, encode

CANVAS = (96, 128)


def boxes(count: int) -> torch.Tensor:
    """From less than a pixel to the whole canvas, some touching its border."""
    limit = torch.tensor([CANVAS[1], CANVAS[0]])
    low = torch.rand(count, 2) * limit * 0.8
    return torch.cat((low, torch.minimum(low + torch.rand(count, 2) ** 3 * 150, limit)), 1)


def test_decoding_equals_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    maps = F.interpolate(torch.randn(30, 17, 28, 28), scale_factor=2, mode="bilinear")
    regions = boxes(30)
    wanted, scores = heatmaps_to_keypoints(maps, regions)
    for most in (1, keypoints.MAX_ELEMENTS):  # one slot at a time, and all at once
        monkeypatch.setattr(keypoints, "MAX_ELEMENTS", most)
        found = decode(maps[None], regions[None], CANVAS)[0]
        torch.testing.assert_close(found[..., :2], wanted[..., :2], atol=1e-3, rtol=0)
        torch.testing.assert_close(found[..., 2], scores, atol=1e-4, rtol=1e-4)


def test_encoding_equals_torchvision() -> None:
    torch.manual_seed(0)
    regions = boxes(50)
    points = torch.cat((torch.rand(50, 17, 2) * 128, torch.randint(0, 3, (50, 17, 1)).float()), -1)
    points[:, 0, :2], points[:, 0, 2] = regions[:, 2:], 2  # on the far corner
    cell, valid = encode(points, regions, 56)
    wanted, there = keypoints_to_heatmap(points, regions, 56)
    assert torch.equal(valid, there.bool())
    assert torch.equal(cell, wanted)
    assert valid[:, 0].all()
    assert (cell[:, 0] == 56 * 56 - 1).all()


def test_a_point_comes_back_to_within_half_a_cell() -> None:
    torch.manual_seed(0)
    low = torch.rand(1, 20, 2) * 40
    regions = torch.cat((low, low + 20 + torch.rand(1, 20, 2) * 30), -1)
    where = regions[..., None, :2] + torch.rand(1, 20, 3, 2) * (regions[..., None, 2:] - regions[..., None, :2])
    cell, valid = encode(torch.cat((where, torch.full((1, 20, 3, 1), 2.0)), -1), regions, 28)
    maps = F.one_hot(cell, 28 * 28).view(1, 20, 3, 28, 28).float()
    found = decode(maps, regions, (100, 100))[..., :2]
    pitch = (regions[..., 2:] - regions[..., :2]).amax(-1)[..., None, None] / 28
    assert valid.all()
    assert ((found - where).abs() <= pitch / 2 + 0.51).all()  # half a cell, and half of the pixel it is read at


def test_a_box_without_a_size_has_no_cells() -> None:
    cell, valid = encode(torch.tensor([[[3.0, 3.0, 2.0]]]), torch.tensor([[3.0, 3.0, 3.0, 3.0]]), 8)
    assert valid.tolist() == [[True]]
    assert cell.tolist() == [[63]]
    _, valid = encode(torch.tensor([[[2.0, 3.0, 2.0]]]), torch.tensor([[3.0, 3.0, 3.0, 3.0]]), 8)
    assert not valid.any()
    assert decode(torch.zeros(1, 2, 3, 8, 8), torch.zeros(1, 2, 4), (32, 32)).isfinite().all()
