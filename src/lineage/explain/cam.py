"""Class activation maps: activations A of a feature map, weighted by gradients G = dS/dA, both [C, h, w].

Grad-CAM: arXiv:1610.02391. Grad-CAM++: arXiv:1710.11063. HiResCAM: arXiv:2011.08891; ODAM (arXiv:2304.06354) is the
same formula on the map of a detection's level. LayerCAM: doi 10.1109/TIP.2021.3089943. XGrad-CAM: arXiv:2008.02312.
Eigen-CAM: arXiv:2008.00299. SSGrad-CAM: Yamauchi and Ishikawa, ICIP 2022.

Each function returns [h, w] before the final ReLU, so that the sign can be looked at.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lineage.explain.scalar_output import ScalarOutput


class Activations(NamedTuple):
    """The feature map on which a scalar depends most, and the gradient of the scalar to it."""

    maps: Tensor  # [C, h, w]
    gradients: Tensor  # [C, h, w]
    level: int  # index of the map, from the finest


def compute_activations(output: ScalarOutput) -> Activations:
    """Return the feature map with the largest sum of abs(gradient); of a region's pyramid, that of its level.

    Raises ValueError if no feature map has a gradient.
    """
    with torch.no_grad():
        features = output.features(output.pixels)
    features = [feature.detach().requires_grad_(True) for feature in features]
    gradients = torch.autograd.grad(output.score(features), features, allow_unused=True)
    sums = [-1.0 if gradient is None else float(gradient.abs().sum()) for gradient in gradients]
    level = max(range(len(sums)), key=lambda index: sums[index])
    selected = gradients[level]
    if selected is None:
        raise ValueError("the scalar depends on no feature map: there is nothing to weight")
    return Activations(features[level].detach()[0], selected[0], level)


def grad_cam(maps: Tensor, gradients: Tensor) -> Tensor:
    """Weight each channel by its mean gradient."""
    return (gradients.mean((1, 2), keepdim=True) * maps).sum(0)


def hires_cam(maps: Tensor, gradients: Tensor) -> Tensor:
    """Multiply elementwise: of a linear head, what each position adds to the scalar."""
    return (gradients * maps).sum(0)


def grad_cam_plus_plus(maps: Tensor, gradients: Tensor) -> Tensor:
    """Weight each channel by its positive gradients, each by alpha of equation 19; alpha is 0 where G is 0."""
    sums = maps.sum((1, 2), keepdim=True)
    alpha = gradients**2 / (2 * gradients**2 + sums * gradients**3 + 1e-6)
    alpha = torch.where(gradients != 0, alpha, 0.0)
    return ((alpha * gradients.clamp(min=0)).sum((1, 2), keepdim=True) * maps).sum(0)


def layer_cam(maps: Tensor, gradients: Tensor) -> Tensor:
    """Weight each position of each channel by its positive gradient."""
    return (gradients.clamp(min=0) * maps).sum(0)


def xgrad_cam(maps: Tensor, gradients: Tensor) -> Tensor:
    """Weight each channel by its gradient's mean under the activations."""
    weights = (gradients * maps).sum((1, 2), keepdim=True) / (maps.sum((1, 2), keepdim=True) + 1e-7)
    return (weights * maps).sum(0)


def spatial_grad_cam(maps: Tensor, gradients: Tensor) -> Tensor:
    """Weight each channel by its mean gradient, and each position by abs(gradient) / its maximum in the channel.

    deviates: the published normaliser was not read, so the maximum is that of third-party code
    """
    magnitude = gradients.abs()
    share = magnitude / magnitude.amax((1, 2), keepdim=True).clamp(min=1e-12)
    return (gradients.mean((1, 2), keepdim=True) * share * maps).sum(0)


def eigen_cam(maps: Tensor, gradients: Tensor) -> Tensor:
    """Project on the first principal component of the channels. It reads no gradient, so all classes have one map.

    The sign of a singular vector is arbitrary: it is chosen so that the map correlates with the sum of the channels.
    """
    positions = maps.flatten(1).T
    centered = positions - positions.mean(0)
    component = torch.linalg.svd(centered, full_matrices=False).Vh[0]
    projection = centered @ component
    sign = 1.0 if float(projection @ positions.sum(1)) >= 0 else -1.0
    return (sign * projection).view(maps.shape[1:])


def enlarge(cam: Tensor, size: tuple[int, int]) -> Tensor:
    """Rectify a map [h, w] and enlarge it to `size` (height, width)."""
    return enlarge_signed(cam.clamp(min=0), size)


def enlarge_signed(cam: Tensor, size: tuple[int, int]) -> Tensor:
    """Enlarge a map [h, w] bilinearly to `size` (height, width); negative values stay."""
    return F.interpolate(cam[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]
