"""Non-local neural networks (arXiv:1711.07971), section 3: every position reads from all positions.

Embedded Gaussian form, keys and values subsampled by 2 (section 3.3); Mask R-CNN's Table 8 has one block before the
last residual block of res4.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from lineage.models.backbones.init import gaussian


class NonLocal(nn.Module):
    """Residual block x + W softmax(theta(x)^T phi(x)) g(x); it starts as the identity because W is 0.

    # deviates: the paper puts a batch norm of scale 0 behind W; detectors freeze their norms, and 0 would stay 0
    """

    def __init__(self, channels: int):
        super().__init__()
        inner = channels // 2
        self.theta = nn.Conv2d(channels, inner, 1)
        self.phi = nn.Conv2d(channels, inner, 1)
        self.g = nn.Conv2d(channels, inner, 1)
        self.out = nn.Conv2d(inner, channels, 1)
        gaussian(0.01, self.theta, self.phi, self.g)  # as released: github.com/facebookresearch/video-nonlocal-net
        for parameter in self.out.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, H, W] -> the same shape"""
        query = self.theta(x).flatten(2).transpose(1, 2)  # [B, H W, inner]
        key = F.max_pool2d(self.phi(x), 2, ceil_mode=True).flatten(2).transpose(1, 2)
        value = F.max_pool2d(self.g(x), 2, ceil_mode=True).flatten(2).transpose(1, 2)
        # one kernel, which does not store all H W x H W / 4 weights
        attended = F.scaled_dot_product_attention(query, key, value, scale=1.0)
        return x + self.out(attended.transpose(1, 2).unflatten(2, x.shape[-2:]))
