"""Simple Copy-Paste (arXiv:2012.07177), section 3: objects of one image are pasted onto another.

Each image is first augmented alone (large scale jitter, flips). Then a random subset of the objects of the second is
pasted in front of the first: the covered pixels are removed from the masks of the first, boxes follow, and objects
that are covered completely are removed. Edges are not blurred: the paper finds no gain in it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision import tv_tensors as tv

from lineage.data.samples.mask_crops import MaskCrops, Window, crop_tight, join_pieces
from lineage.data.samples.sample import Sample
from lineage.data.transforms import geometry
from lineage.data.transforms.context import Context, Transform, bind_context
from lineage.data.transforms.geometry import AugmentError
from lineage.data.transforms.objects import concat_objects, select_objects
from lineage.data.transforms.sanitize import sanitize


class CopyPaste:
    """Paste objects of another image of the dataset with probability `p`.

    `transform` augments both images, each with its own random numbers.
    """

    def __init__(self, *, transform: Transform, p: float) -> None:
        self.transform, self.p = transform, p

    def __call__(self, sample: Sample, context: Context) -> Sample:
        transform = bind_context(self.transform, context)
        target = sanitize(transform(sample))
        if torch.rand(()) >= self.p:
            return target
        source = transform(context.draw_partner(sample))
        source = sanitize(crop_or_pad(source, geometry.get_size(target)))
        return paste(target, source, draw_objects(source))


def draw_objects(source: Sample) -> Tensor:
    """Draw [k] indices of objects, crowds excluded: first k with equal probability, then any set of k."""
    candidates = torch.arange(len(source.labels))[~source.crowd]
    count = int(torch.randint(len(candidates) + 1, ()))
    return candidates[torch.randperm(len(candidates))[:count]].sort().values


def crop_or_pad(sample: Sample, size: geometry.Size) -> Sample:
    """Crop or pad at the right and below to this (height, width)."""
    height, width = geometry.get_size(sample)
    window = min(height, size[0]), min(width, size[1])
    return geometry.pad(geometry.crop(sample, 0, 0, window), size, fill=0)


def paste(target: Sample, source: Sample, index: Tensor) -> Sample:
    """Put the objects `index` of `source` in front of those of `target`. The images are of equal size."""
    if target.masks is None or source.masks is None:
        raise AugmentError(
            f"augment: copy-paste cuts objects out by their masks, image {target.image_id} or {source.image_id} has "
            "none; choose another augment, or a dataset with masks"
        )
    if target.proposals is not None:
        raise AugmentError(
            "augment: precomputed proposals do not cover pasted objects; choose another augment than copy-paste, or "
            "proposals=none"
        )
    cover = union_masks(source.masks.select(index))
    image = torch.where(cover, source.image.as_subclass(Tensor), target.image.as_subclass(Tensor))
    semantic = target.semantic
    if semantic is not None and source.semantic is not None:
        semantic = tv.wrap(torch.where(cover, source.semantic.as_subclass(Tensor), semantic), like=semantic)
    objects = concat_objects(occlude(target, cover), select_objects(source, index))
    return objects._replace(image=tv.wrap(image, like=target.image), semantic=semantic)


def union_masks(masks: MaskCrops) -> Tensor:
    """Return the pixels of any mask, [h, w] bool."""
    cover = torch.zeros(masks.canvas_size, dtype=torch.bool)
    for bits, (x, y, width, height) in masks.pieces():
        cover[y : y + height, x : x + width] |= bits.bool()
    return cover


def occlude(sample: Sample, cover: Tensor) -> Sample:
    """Remove the pixels of `cover` [h, w] from masks and boxes, mark keypoints there as hidden, drop empty objects."""
    assert sample.masks is not None
    boxes = sample.boxes.as_subclass(Tensor).clone()
    pieces: list[tuple[Tensor, Window]] = []
    for i, (bits, (x, y, width, height)) in enumerate(sample.masks.pieces()):
        covered = cover[y : y + height, x : x + width] & bits.bool()
        if not covered.any():
            pieces.append((bits, (x, y, width, height)))
            continue
        rest, (x, y, width, height) = crop_tight(bits * ~covered, x, y)
        pieces.append((rest, (x, y, width, height)))
        boxes[i] = torch.tensor([x, y, x + width, y + height])
    masks = join_pieces(pieces, sample.masks.canvas_size)
    visibility = _hide_keypoints(sample, cover)
    return sanitize(sample._replace(boxes=tv.wrap(boxes, like=sample.boxes), masks=masks, visibility=visibility))


def _hide_keypoints(sample: Sample, cover: Tensor) -> Tensor | None:
    """Return the visibility [n, K] with at most 1 (hidden) under `cover`."""
    if sample.keypoints is None or sample.visibility is None:
        return None
    points = sample.keypoints.as_subclass(Tensor).long()
    height, width = cover.shape
    covered = cover[points[..., 1].clamp(0, height - 1), points[..., 0].clamp(0, width - 1)]
    return torch.where(covered, sample.visibility.clamp(max=1), sample.visibility)
