"""Sensitivity-n (arXiv:1711.06104): do the values of n pixels sum to what the scalar loses without them?

Of a linear network's gradient x input and integrated gradients the correlation is 1 for every n.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lineage.explain.scalar_output import ScalarOutput

SHARES = (0.01, 0.03, 0.1, 0.3)  # n, of the image's pixels
SUBSETS = 25  # of each n
BATCH = 5  # variants of an image in one run of the body


def measure_sensitivity(output: ScalarOutput, values: Tensor, *, seed: int = 0) -> float:
    """Return the mean over n of Pearson's correlation, over random subsets of n pixels, -1 to 1; 0 of a constant.

    It correlates the sum of the map's `values` [H, W], of both signs, with the loss of the scalar when the pixels of
    the subset become those of the baseline.
    """
    generator = torch.Generator().manual_seed(seed)
    height, width = (round(side) for side in output.size)
    count = height * width
    correlations = []
    for share in SHARES:
        size = max(1, round(share * count))
        chosen = [torch.randperm(count, generator=generator)[:size] for _ in range(SUBSETS)]
        subsets = torch.zeros(SUBSETS, count, dtype=torch.bool)
        for subset, pixels in zip(subsets, chosen, strict=True):
            subset[pixels] = True
        sums = torch.stack([values[:height, :width].flatten()[subset].sum() for subset in subsets])
        correlations.append(correlate(sums, measure_losses(output, subsets.view(-1, height, width))))
    return sum(correlations) / len(correlations)


@torch.no_grad()
def measure_losses(output: ScalarOutput, subsets: Tensor) -> Tensor:
    """Return what the scalar loses without each subset [N, h, w] of the content's pixels: [N]"""
    height, width = subsets.shape[-2:]
    whole = output.score(output.features(output.pixels))
    losses = []
    for part in subsets.split(BATCH):
        variants = output.pixels.repeat(len(part), 1, 1, 1)
        region = variants[:, :, :height, :width]
        region.copy_(torch.where(part[:, None], output.baseline[:, :, :height, :width], region))
        features = output.features(variants)
        losses += [whole - output.score([level[index : index + 1] for level in features]) for index in range(len(part))]
    return torch.stack(losses)


def correlate(a: Tensor, b: Tensor) -> float:
    """Return Pearson's correlation; 0 if one of them is constant."""
    first, second = (values.double() - values.double().mean() for values in (a, b))
    norm = float(first.norm() * second.norm())
    return float(first @ second) / norm if norm > 0 else 0.0
