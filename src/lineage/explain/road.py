"""ROAD (arXiv:2202.00449): deletion in which a removed pixel becomes the mean of its neighbours, not a hole.

A hole is out of the training's distribution, so that deletion punishes a map for the shape of the hole as well. Here
each removed pixel is the weighted mean of its 8 neighbours, removed ones among them, which is one sparse linear system,
plus a little noise. Removed are the most relevant pixels first (MoRF), and the least relevant first (LeRF).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lineage.explain.deletion import Score

SHARES = tuple(tenth / 10 for tenth in range(1, 10))  # of the image's pixels that are removed
NOISE = 0.01  # standard deviation, of normalised pixels
NEIGHBOURS = torch.tensor([[1 / 12, 1 / 6, 1 / 12], [1 / 6, 0, 1 / 6], [1 / 12, 1 / 6, 1 / 12]], dtype=torch.float64)


def measure_road(score: Score, pixels: Tensor, values: Tensor, std: Tensor, *, seed: int = 0) -> float:
    """Return half the mean difference of the scores after LeRF and after MoRF; a good map has a large one.

    score: of variants of the image. pixels: [1, 3, H, W]. values: [h, w] the map, of the content in the upper left of
    the canvas; the padding stays. std: [3, 1, 1] the divisor of pixels in the network's normalisation. Equal values are
    removed in reading order. Two maps are judged with the same noise.
    """
    generator = torch.Generator().manual_seed(seed)
    height, width = values.shape
    content = pixels[0, :, :height, :width]
    noise = NOISE * std * torch.randn(content.shape, generator=generator)
    orders = [values.flatten().argsort(descending=most_first, stable=True) for most_first in (False, True)]

    def remove(order: Tensor, share: float) -> Tensor:
        removed = torch.zeros(values.numel(), dtype=torch.bool)
        removed[order[: round(share * len(order))]] = True
        variant = pixels.clone()
        variant[0, :, :height, :width] = impute(content, removed.view(height, width), noise)
        return variant

    scores = score(remove(order, share) for order in orders for share in SHARES)
    least, most = scores[: len(SHARES)], scores[len(SHARES) :]
    return (sum(least) - sum(most)) / (2 * len(SHARES))


def impute(pixels: Tensor, removed: Tensor, noise: Tensor, *, tolerance: float = 1e-3, limit: int = 1000) -> Tensor:
    """Return an image [3, h, w] whose pixels of `removed` [h, w] are means of their neighbours, plus noise [3, h, w].

    A direct neighbour weighs 1/6, a diagonal one 1/12; at the border, those inside of the image. tolerance: the largest
    difference of a pixel from the mean of its neighbours, in the unit of the pixels. limit: of the iterations.
    """
    image = torch.where(removed, 0.0, pixels.double())
    total = sum_neighbours(torch.ones_like(image[:1]))  # 1, less at the border

    def multiply(x: Tensor) -> Tensor:
        return torch.where(removed, total * x - sum_neighbours(x), 0.0)

    # conjugate gradients: the matrix is symmetric and positive definite as soon as one pixel is kept
    start = image.sum((1, 2), keepdim=True) / max(1, int((~removed).sum()))
    x = torch.where(removed, start, 0.0)
    residual = torch.where(removed, sum_neighbours(image), 0.0) - multiply(x)
    direction, power = residual, residual.square().sum((1, 2), keepdim=True)
    for _ in range(limit):
        if float(residual.abs().max()) <= tolerance:
            break
        product = multiply(direction)
        step = power / (direction * product).sum((1, 2), keepdim=True).clamp(min=1e-30)
        x, residual = x + step * direction, residual - step * product
        previous, power = power, residual.square().sum((1, 2), keepdim=True)
        direction = residual + power / previous.clamp(min=1e-30) * direction
    return torch.where(removed, x + noise, pixels.double()).to(pixels)


def sum_neighbours(x: Tensor) -> Tensor:
    """Return the weighted sums of the 8 neighbours of each pixel [K, h, w]; those outside of the image are 0."""
    return F.conv2d(x[:, None], NEIGHBOURS[None, None], padding=1)[:, 0]
