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
        return flip(sample, context.dataset.meta.flip_indices)


def flip(sample: Sample, flip_indices: Sequence[int]) -> Sample:
    """Mirror an image. `flip_indices[k]` is the keypoint that k becomes, e.g. the right eye for the left eye."""
    flipped, visibility = geometry.horizontal_flip(sample), sample.visibility
    keypoints = flipped.keypoints
    if keypoints is None or visibility is None:
        return flipped
    if len(flip_indices) != visibility.shape[1]:
        raise geometry.AugmentError(
            f"augment: image {sample.image_id} has {visibility.shape[1]} keypoints, and the dataset's flip_indices has "
            f"{len(flip_indices)}: name the keypoint that each of them becomes in a mirrored image"
        )
    order = list(flip_indices)
    return flipped._replace(keypoints=tv.wrap(keypoints[:, order], like=keypoints), visibility=visibility[:, order])
