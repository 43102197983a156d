"""Maps from gradients of the scalar to the pixels.

Gradient: arXiv:1312.6034. Deconvnet: arXiv:1311.2901. Guided backpropagation: arXiv:1412.6806. SmoothGrad:
arXiv:1706.03825. Integrated gradients: arXiv:1703.01365.

All gradients are to normalised pixels, (pixel - mean) / std, so that a channel of small deviation weighs no more.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lineage.explain.relu_rules import ReLURule
from lineage.explain.scalar_output import ScalarOutput


def compute_gradient(output: ScalarOutput, pixels: Tensor | None = None) -> Tensor:
    """Return dS/dx [3, H, W] at `pixels`, the image itself by default."""
    x = (output.pixels if pixels is None else pixels).detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(output.score(output.features(x)), x)
    return gradient[0] * output.std


def map_gradient(output: ScalarOutput) -> Tensor:
    """Return max over colours of abs(dS/dx): [H, W]"""
    return compute_gradient(output).abs().amax(0)


def map_gradient_x_input(output: ScalarOutput) -> Tensor:
    """Return the sum over colours of x dS/dx, x after normalisation: [H, W], of both signs."""
    return (_normalize(output) * compute_gradient(output)).sum(0)


def map_deconvnet(output: ScalarOutput) -> Tensor:
    """Return max over colours of the magnitude that deconvnet's rule of ReLUs propagates: [H, W]"""
    return propagate(output, "deconvnet").abs().amax(0)


def map_guided_backprop(output: ScalarOutput) -> Tensor:
    """Return max over colours of the magnitude that the guided rule of ReLUs propagates: [H, W]"""
    return propagate(output, "guided").abs().amax(0)


def propagate(output: ScalarOutput, rule: str) -> Tensor:
    """Propagate 1 from the scalar to the pixels [3, H, W] under a rule of ReLUs. See ReLURule."""
    with ReLURule(rule):
        return compute_gradient(output)


def map_smooth_grad(output: ScalarOutput, *, samples: int = 25, noise: float = 0.15, seed: int = 0) -> Tensor:
    """Return the mean of `map_gradient` over noisy images: [H, W]

    noise: standard deviation, as a fraction of the image's range of values.
    """
    generator = torch.Generator().manual_seed(seed)
    pixels = output.pixels
    sigma = noise * (pixels.max() - pixels.min())
    total = torch.zeros(pixels.shape[-2:])
    for _ in range(samples):
        noisy = pixels + sigma * torch.randn(pixels.shape, generator=generator)
        total += compute_gradient(output, noisy).abs().amax(0)
    return total / samples


def map_integrated_gradients(output: ScalarOutput, *, steps: int = 32) -> Tensor:
    """Return the sum over colours of (x - x0) times the mean gradient between x0 and x: [H, W], of both signs.

    x0 is the mean colour. Its sum is S(x) - S(x0), up to the error of the midpoint rule with `steps` points.
    """
    difference = output.pixels - output.baseline
    total = torch.zeros_like(difference[0])
    for step in range(steps):
        total += compute_gradient(output, output.baseline + (step + 0.5) / steps * difference)
    return (_normalize(output) * total / steps).sum(0)


def _normalize(output: ScalarOutput) -> Tensor:
    return (output.pixels - output.baseline)[0] / output.std
