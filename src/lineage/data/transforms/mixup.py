"""Visually coherent mixup: Bag of Freebies (arXiv:1902.04103), section 3.1.

Two images are blended without resizing on a canvas that holds both, so objects keep their shape. The objects of both
images stay, and the loss of each is weighted by the ratio of its image.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Beta
from torchvision import tv_tensors as tv

from lineage.data.samples.sample import Sample
from lineage.data.transforms import geometry
from lineage.data.transforms.context import Context
from lineage.data.transforms.geometry import AugmentError
from lineage.data.transforms.objects import concat_objects


class Mixup:
    """Blend with another image of the dataset, by a ratio of Beta(alpha, beta). The first transform of a training.

    After the part `until` of the training, e.g. 0.9, images are not mixed; None mixes in all steps.
    """

    def __init__(self, *, alpha: float, beta: float, until: float | None) -> None:
        if until is not None and not 0 <= until <= 1:
            raise ValueError(f"mixup: until={until} is a part of the training, 0 to 1; 0.9 leaves out the last tenth")
        self.ratio = Beta(alpha, beta)
        self.until = until

    def __call__(self, sample: Sample, context: Context) -> Sample:
        if self.until is not None and context.progress >= self.until:
            return sample
        ratio = float(self.ratio.sample().clamp(0, 1))
        return mix(sample, context.draw_partner(sample), ratio)


def mix(first: Sample, second: Sample, ratio: float) -> Sample:
    """Return ratio * first + (1 - ratio) * second, with the image id of `first`; `first` alone if the ratio is 1."""
    if ratio >= 1:
        return first._replace(object_weights=_scale_weights(first, 1.0))
    if first.semantic is not None or second.semantic is not None:
        raise AugmentError(
            f"augment: mixup cannot blend the semantic labels of images {first.image_id} and {second.image_id}: "
            "a pixel has one class; choose another augment for a model with semantic labels"
        )
    height, width = (max(sides) for sides in zip(geometry.get_size(first), geometry.get_size(second), strict=True))
    first, second = (geometry.pad(sample, (height, width), fill=0) for sample in (first, second))
    blend = first.image.as_subclass(Tensor).float() * ratio + second.image.as_subclass(Tensor).float() * (1 - ratio)
    first = first._replace(object_weights=_scale_weights(first, ratio))
    second = second._replace(object_weights=_scale_weights(second, 1 - ratio))
    # truncated, not rounded, as the authors' cast does
    return concat_objects(first, second)._replace(image=tv.wrap(blend.to(torch.uint8), like=first.image))


def _scale_weights(sample: Sample, ratio: float) -> Tensor:
    weights = torch.ones(len(sample.labels)) if sample.object_weights is None else sample.object_weights
    return weights * ratio
