"""Crop-space pasting equals sampling every pixel of the canvas; how far torchvision's rounding of boxes is from it.

The operations of torch that a GPU pastes with run here on the CPU; tests/gpu compares both devices.
"""

from __future__ import annotations

import pycocotools.mask
import pytest
import torch
from torch import Tensor
from torchvision.models.detection.roi_heads import paste_masks_in_image

from lineage.eval.predictions import paste_cuda as on_device
from lineage.eval.predictions.paste import paste
from lineage.eval.predictions.paste_cuda import paste_cuda

SIZE = (120, 170)


def dense(masks: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """The definition: each pixel centre of the canvas samples the mask."""
    x1, y1, x2, y2 = boxes.double().T[:, :, None]
    x = (torch.arange(size[1]) + 0.5 - x1) / (x2 - x1) * 2 - 1
    y = (torch.arange(size[0]) + 0.5 - y1) / (y2 - y1) * 2 - 1
    grid = torch.stack([x[:, None].expand(-1, *size), y[:, :, None].expand(-1, *size)], dim=3)
    return torch.nn.functional.grid_sample(masks[:, None].double(), grid, align_corners=False)[:, 0] >= 0.5


def encoded(masks: Tensor, boxes: Tensor, sizes: Tensor) -> list[bytes]:
    """Return the RLE of each mask, which NumPy and torch agree on."""
    texts = paste(masks.numpy(), boxes.numpy(), sizes.numpy()).counts()
    assert paste_cuda(masks, boxes, sizes).counts() == texts
    return texts


def pasted(masks: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    rles = [{"size": size, "counts": text} for text in encoded(masks, boxes, torch.tensor([size] * len(masks)))]
    return torch.from_numpy(pycocotools.mask.decode(rles)).permute(2, 0, 1).bool()


def smooth_masks(count: int, cells: int, generator: torch.Generator) -> Tensor:
    rough = torch.randn(count, 1, 5, 5, generator=generator)
    return (torch.nn.functional.interpolate(rough, cells, mode="bicubic")[:, 0] * 3).sigmoid()


def boxes_around(count: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Boxes of all sizes, some far outside the canvas."""
    high = torch.tensor([size[1], size[0]])
    centre = (torch.rand(count, 2, generator=generator) * 1.4 - 0.2) * high
    extent = torch.exp(torch.rand(count, 2, generator=generator) * 9 - 3).clamp(max=400)
    return torch.cat([centre - extent / 2, centre + extent / 2], dim=1)


@pytest.mark.parametrize("cells", [1, 7, 14, 28, 56])
@pytest.mark.parametrize("seed", range(3))
def test_equal_to_the_dense_definition(cells: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    masks, boxes = smooth_masks(60, cells, generator), boxes_around(60, SIZE, generator)
    assert torch.equal(pasted(masks, boxes, SIZE), dense(masks, boxes, SIZE))


@pytest.mark.parametrize("seed", range(5))
def test_equal_on_binary_masks_in_integer_boxes(seed: int) -> None:
    """Where exact ties at one half are common."""
    generator = torch.Generator().manual_seed(seed)
    masks = (torch.rand(60, 28, 28, generator=generator) > 0.4).float()
    boxes = boxes_around(60, SIZE, generator).round()
    boxes[:, 2:] = torch.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    assert torch.equal(pasted(masks, boxes, SIZE), dense(masks, boxes, SIZE))


@pytest.mark.parametrize("cells", [2, 7, 28, 56])
@pytest.mark.parametrize("seed", range(4))
def test_equal_on_noise(cells: int, seed: int) -> None:
    """Where a column passes one half many times, also several times between two pixels."""
    generator = torch.Generator().manual_seed(seed)
    masks, boxes = torch.rand(60, cells, cells, generator=generator), boxes_around(60, SIZE, generator)
    masks = (masks * 8).round() / 8 if seed % 2 else masks
    assert torch.equal(pasted(masks, boxes, SIZE), dense(masks, boxes, SIZE))


def test_a_full_mask_reaches_exactly_the_pixels_whose_centre_is_in_the_box() -> None:
    """Its corners are rounded: one half on each axis is a quarter."""
    found = pasted(torch.ones(1, 28, 28), torch.tensor([[10.5, 20.5, 30.0, 40.25]]), SIZE)[0]
    assert found.any(0).nonzero().flatten().tolist() == list(range(10, 30))
    assert found.any(1).nonzero().flatten().tolist() == list(range(20, 40))
    assert not found[20, 10]


def test_boxes_without_extent_and_without_detections() -> None:
    boxes = torch.tensor([[5.0, 5.0, 5.0, 9.0], [9.0, 9.0, 5.0, 20.0], [-50.0, -50.0, -9.0, -9.0]])
    assert not pasted(torch.ones(3, 28, 28), boxes, SIZE).any()
    none = torch.zeros(0, 28, 28), torch.zeros(0, 4), torch.zeros(0, 2, dtype=torch.long)
    assert encoded(*none) == []


def test_masks_of_files_of_other_sizes_equal_those_pasted_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the columns of a mask are a block, and the pixels of a column."""
    generator = torch.Generator().manual_seed(0)
    masks, boxes = smooth_masks(30, 28, generator), boxes_around(30, SIZE, generator)
    masks[::3] = (masks[::3] > 0.5).float()
    boxes[::3] = boxes[::3].round()
    sizes = torch.randint(1, 200, (30, 2), generator=generator)
    alone = [encoded(masks[[i]], boxes[[i]], sizes[[i]])[0] for i in range(30)]
    assert encoded(masks, boxes, sizes) == alone
    monkeypatch.setattr(on_device, "BLOCK", 1000)
    monkeypatch.setattr(on_device, "SAMPLED", 1)
    assert encoded(masks, boxes, sizes) == alone


def test_runs_of_a_hundred_million_pixels() -> None:
    """Encode run lengths whose differences need all digits."""
    boxes = torch.tensor([[15000.0, 7, 15001, 8], [29999, 19998, 30000, 19999]])
    (first, last) = encoded(torch.ones(2, 1, 1), boxes, torch.tensor([[20000, 30000]] * 2))
    for text, before in ((first, 15000 * 20000 + 7), (last, 30000 * 20000 - 2)):
        counts = [before, 1, 30000 * 20000 - 1 - before]
        assert text == pycocotools.mask.frPyObjects({"size": [20000, 30000], "counts": counts}, 20000, 30000)["counts"]


def test_torchvision_agrees_up_to_its_rounding_of_boxes() -> None:
    generator = torch.Generator().manual_seed(0)
    masks = smooth_masks(100, 28, generator)
    corner = torch.rand(100, 2, generator=generator) * 60
    boxes = torch.cat([corner, corner + 30 + torch.rand(100, 2, generator=generator) * 30], dim=1)
    ours, theirs = pasted(masks, boxes, SIZE), paste_masks_in_image(masks[:, None], boxes, SIZE)[:, 0] >= 0.5
    iou = (ours & theirs).sum((1, 2)) / (ours | theirs).sum((1, 2)).clamp(min=1)
    assert iou.mean() > 0.88, f"mean IoU {iou.mean():.3f}"  # contours half a pixel apart in objects of 30 to 60 pixels
