"""Stochastic depth (arXiv:1603.09382): in training, an image skips the branch of a residual block by chance.

The draw is a function of the image and the step, so it is the same on any number of processes and after a resume.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lineage.ops.random import uniform

SALT = 11  # separates this random stream from those of samplers


class StochasticDepth(nn.Module):
    """Factors of the residual branches of `blocks` blocks.

    Block l of L is skipped with probability l / L * drop_path (section 3, linear decay). A branch that is kept is
    divided by the probability of that, so that the expected output is the output at test time.
    """

    def __init__(self, drop_path: float, blocks: int):
        super().__init__()
        if not 0 <= drop_path < 1:
            raise ValueError(f"backbone.drop_path={drop_path}: a probability, at least 0 and below 1")
        self.register_buffer("probabilities", drop_path * torch.arange(1, blocks + 1) / blocks, persistent=False)

    def forward(self, rng_keys: Tensor) -> Tensor:
        """rng_keys [B] -> [L, B]: 0 or 1 / (1 - p); 1 at test time"""
        probabilities = (self.probabilities * self.training)[:, None]
        survives = probabilities <= uniform(rng_keys, SALT, len(probabilities)).T
        return survives / (1 - probabilities)
