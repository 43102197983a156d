"""Distances of images: PSNR, and SSIM (Wang et al., IEEE TIP 13, 2004) of each colour, averaged.

SSIM is that of the paper: windows of 11 x 11 pixels with Gaussian weights of sigma 1.5, constants .01 and .03, over the
pixels whose whole window lies inside; variances are of the window itself, not of a sample.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

PEAK = 255.0
WINDOW, SIGMA = 11, 1.5
K1, K2 = 0.01, 0.03
MOST = 100.0  # dB of equal images, whose PSNR is infinite: a mean over frames stays a number


def psnr(images: Tensor, others: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio in dB [N] of uint8 images [N, 3, H, W], over all colours together."""
    error = (images.double() - others.double()).square().mean((1, 2, 3))
    return (10 * torch.log10(PEAK**2 / error)).clamp(max=MOST)


def ssim(images: Tensor, others: Tensor) -> Tensor:
    """Return the structural similarity [N], 1 for equal images, of uint8 images [N, 3, H, W]."""
    if min(images.shape[-2:]) < WINDOW:
        raise ValueError(f"SSIM needs images of {WINDOW} pixels a side or more; these are {tuple(images.shape[-2:])}")
    x, y = images.double().flatten(0, 1)[:, None], others.double().flatten(0, 1)[:, None]
    mean_x, mean_y = _blur(x), _blur(y)
    variance_x, variance_y = _blur(x * x) - mean_x**2, _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    c1, c2 = (K1 * PEAK) ** 2, (K2 * PEAK) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
    return (luminance * structure).mean((1, 2, 3)).view(len(images), -1).mean(1)


def _blur(planes: Tensor) -> Tensor:
    """Return the weighted means [N, 1, H - 10, W - 10] of planes [N, 1, H, W]."""
    offsets = torch.arange(WINDOW, dtype=planes.dtype, device=planes.device) - WINDOW // 2
    weights = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    weights = weights / weights.sum()
    return F.conv2d(F.conv2d(planes, weights.view(1, 1, -1, 1)), weights.view(1, 1, 1, -1))
