"""Simple Copy-Paste (arXiv:2012.07177), section 3: objects of one image are pasted onto another.

Each image is first augmented alone (large scale jitter, flips), then a random subset of the second one's objects covers
the first one: what they hide is cut out of its masks, boxes follow, and what is wholly hidden goes. Edges are not
blurred: the paper finds no gain in it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torchvision import tv_tensors as tv

from lineage.data.samples.dataset import Dataset
from lineage.data.samples.mask_crops import MaskCrops, Window, crop_tight, join_pieces
from lineage.data.samples.sample import Sample
from lineage.data.transforms import geometry
from lineage.data.transforms.geometry import AugmentError
from lineage.data.transforms.resize_flip import clean
from lineage.data.transforms.two_images import joined, partner


class CopyPaste:
    """`each` augments both images, with its own random numbers."""

    def __init__(self, *, each: Callable[[Sample], Sample], probability: float) -> None:
        self.each, self.probability = each, probability
        self.dataset: Dataset | None = None

    def bind(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __call__(self, sample: Sample) -> Sample:
        target = clean(self.each(sample))
        if torch.rand(()) >= self.probability:
            return target
        source = clean(fitted(self.each(partner(self.dataset, sample)), geometry.canvas(target)))
        return paste(target, source, subset(source))


def subset(source: Sample) -> Tensor:
    """[k] indices: any number of its objects equally likely, then any such set; crowds are nobody to paste."""
    candidates = torch.arange(len(source.labels))[~source.crowd]
    count = int(torch.randint(len(candidates) + 1, ()))
    return candidates[torch.randperm(len(candidates))[:count]].sort().values


def fitted(sample: Sample, size: geometry.Size) -> Sample:
    """Cut at the right and below, or grown there, to the canvas of the other image."""
    height, width = geometry.canvas(sample)
    inside = min(height, size[0]), min(width, size[1])
    return geometry.pad(geometry.crop(sample, 0, 0, inside), size, fill=0)


def paste(target: Sample, source: Sample, chosen: Tensor) -> Sample:
    """These objects of `source` in front of all of `target`, on equal canvases."""
    if target.masks is None or source.masks is None:
        raise AugmentError(f"augment: copy-paste cuts objects out by their masks, image {target.image_id} "
                           f"or {source.image_id} has none; choose another one, or a dataset with masks")  # fmt: skip
    if target.proposals is not None:
        raise AugmentError("augment: precomputed proposals know nothing of pasted objects; choose another augment than "
                           "copy-paste, or proposals=none")  # fmt: skip
    pasted = picked(source, chosen)
    cover = union(source.masks.select(chosen))
    image = torch.where(cover, source.image.as_subclass(Tensor), target.image.as_subclass(Tensor))
    semantic = target.semantic
    if semantic is not None and source.semantic is not None:
        semantic = tv.wrap(torch.where(cover, source.semantic.as_subclass(Tensor), semantic), like=semantic)
    below = occluded(target, cover)
    return joined(below, pasted)._replace(image=tv.wrap(image, like=target.image), semantic=semantic)


def picked(sample: Sample, chosen: Tensor) -> Sample:
    """Only these objects."""
    names = ("boxes", "labels", "crowd", "keypoints", "visibility", "object_weights")
    rows = {name: one[chosen] for name in names if (one := getattr(sample, name)) is not None}
    rows = {name: tv.wrap(row, like=getattr(sample, name)) if name in ("boxes", "keypoints") else row
            for name, row in rows.items()}  # fmt: skip
    return sample._replace(masks=None if sample.masks is None else sample.masks.select(chosen), **rows)


def union(masks: MaskCrops) -> Tensor:
    """[h, w] bool"""
    cover = torch.zeros(masks.canvas_size, dtype=torch.bool)
    for bits, (x, y, width, height) in masks.pieces():
        cover[y : y + height, x : x + width] |= bits.bool()
    return cover


def occluded(sample: Sample, cover: Tensor) -> Sample:
    """Without what lies under `cover` [h, w]; joints there are hidden, and objects with nothing left are gone."""
    assert sample.masks is not None
    boxes = sample.boxes.as_subclass(Tensor).clone()
    parts: list[tuple[Tensor, Window]] = []
    for i, (bits, (x, y, width, height)) in enumerate(sample.masks.pieces()):
        under = cover[y : y + height, x : x + width] & bits.bool()
        if not under.any():
            parts.append((bits, (x, y, width, height)))
            continue
        rest, (x, y, width, height) = crop_tight(bits * ~under, x, y)
        parts.append((rest, (x, y, width, height)))
        boxes[i] = torch.tensor([x, y, x + width, y + height])
    masks = join_pieces(parts, sample.masks.canvas_size)
    return clean(
        sample._replace(boxes=tv.wrap(boxes, like=sample.boxes), masks=masks, visibility=_hidden(sample, cover))
    )


def _hidden(sample: Sample, cover: Tensor) -> Tensor | None:
    if sample.keypoints is None or sample.visibility is None:
        return None
    points = sample.keypoints.as_subclass(Tensor).long()
    height, width = cover.shape
    under = cover[points[..., 1].clamp(0, height - 1), points[..., 0].clamp(0, width - 1)]
    return torch.where(under, sample.visibility.clamp(max=1), sample.visibility)
