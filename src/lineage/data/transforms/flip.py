"""Random horizontal flips, which exchange left and right keypoints."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torchvision import tv_tensors as tv

from lineage.data.samples.sample import Sample
from lineage.data.transforms import geometry
from lineage.data.transforms.context import Context


class RandomFlip:
    """Horizontal flip with probability `p`. Keypoints are permuted by the `flip_indices` of the dataset."""

    def __init__(self, *, p: float) -> None:
        self.p = p

    def __call__(self, sample: Sample, context: Context) -> Sample:
        if torch.rand(()) >= self.p:
            return sample
        meta = context.dataset.meta
        return flip(sample, meta.flip_indices, meta.class_flip_indices)


def flip(sample: Sample, flip_indices: Sequence[int], class_flip_indices: Sequence[Sequence[int]] = ()) -> Sample:
    """Mirror an image. `flip_indices[k]` is the keypoint that k becomes, e.g. the right eye for the left eye.

    class_flip_indices: those of each class, if they differ
    """
    flipped = geometry.horizontal_flip(sample)
    visibility = sample.visibility
    keypoints = flipped.keypoints
    if keypoints is None or visibility is None:
        return flipped
    if len(flip_indices) != visibility.shape[1]:
        raise geometry.AugmentError(
            f"augment: image {sample.image_id} has {visibility.shape[1]} keypoints, and the dataset's flip_indices has "
            f"{len(flip_indices)}: name the keypoint that each of them becomes in a mirrored image"
        )
    table = torch.tensor(class_flip_indices or [list(flip_indices)])
    order = table[sample.labels if class_flip_indices else torch.zeros_like(sample.labels)]  # [n, K]
    points = keypoints.as_subclass(torch.Tensor).gather(1, order[..., None].expand(-1, -1, 2))
    return flipped._replace(keypoints=tv.wrap(points, like=keypoints), visibility=visibility.gather(1, order))
