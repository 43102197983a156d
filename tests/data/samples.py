"""Random samples for tests of transforms, and their comparison."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves
from torchvision import tv_tensors as tv

from lineage.data.samples.mask_crops import MaskCrops
from lineage.data.samples.sample import Sample


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


def full(n: int = 4, height: int = 37, width: int = 53, joints: int = 5, regions: int = 6) -> Sample:
    """A scene with everything a sample can carry: the first proposals are its boxes."""
    sample = scene(n, height, width, joints)
    generator = torch.Generator().manual_seed(n + 1)
    low = torch.rand(regions, 2, generator=generator) * 20
    others = torch.cat([low, low + 5 + torch.rand(regions, 2, generator=generator) * 10], 1).round()
    proposals = torch.cat([sample.boxes.as_subclass(Tensor), others])
    semantic = torch.randint(0, 7, (height, width), dtype=torch.uint8, generator=generator)
    return sample._replace(
        proposals=tv.BoundingBoxes(proposals, format="XYXY", canvas_size=(height, width)),
        semantic=tv.Mask(semantic),
        object_weights=torch.rand(n, generator=generator),
    )


def same(a: Sample, b: Sample) -> bool:
    assert a.masks is not None
    assert b.masks is not None
    pairs = zip(tree_leaves(a), tree_leaves(b), strict=True)
    return a.masks.windows.equal(b.masks.windows) and all(
        x.equal(y) if isinstance(x, torch.Tensor) else x == y for x, y in pairs
    )
