"""Colours of CornerNet (arXiv:1808.01244) and CenterNet (arXiv:1904.07850): three changes in random order, lighting."""

from __future__ import annotations

import torch
from torchvision import tv_tensors as tv

from lineage.data.samples.sample import Sample

LUMA = (0.299, 0.587, 0.114)  # red, green, blue of grey
# principal components of ImageNet's colours (AlexNet, section 4.1), red, green, blue, as in CornerNet's code
EIGENVALUES = (0.2141788, 0.01817699, 0.00341571)
EIGENVECTORS = (
    (-0.56089297, 0.71832671, 0.41158938),
    (-0.5832747, 0.00994535, -0.81221408),
    (-0.58752847, -0.69563484, 0.41340352),
)


class ColourJitter:
    """Brightness, contrast and saturation in random order, then a shift of colour (AlexNet's PCA lighting).

    strength: of the factors, each uniform in 1 - strength to 1 + strength.
    lighting: deviation of the three shares of the principal components.

    # deviates: contrast is towards the mean grey of the image as it is then; CornerNet's code takes that of the input
    """

    def __init__(self, *, strength: float, lighting: float) -> None:
        self.strength, self.lighting = strength, lighting

    def __call__(self, sample: Sample) -> Sample:
        pixels = sample.image.as_subclass(torch.Tensor).float() / 255
        for change in torch.randperm(3).tolist():
            factor = 1 - self.strength + 2 * self.strength * float(torch.rand(()))
            grey = (pixels * pixels.new_tensor(LUMA)[:, None, None]).sum(0, keepdim=True)
            other = (torch.zeros_like(grey), grey.mean(), grey)[change]
            pixels = factor * pixels + (1 - factor) * other
        shares = torch.randn(3) * self.lighting * pixels.new_tensor(EIGENVALUES)
        pixels = pixels + (pixels.new_tensor(EIGENVECTORS) @ shares)[:, None, None]
        image = (pixels * 255).round().clamp(0, 255).to(torch.uint8)
        return sample._replace(image=tv.wrap(image, like=sample.image))
