"""The geometric self-ensemble of super-resolution (EDSR, arXiv:1707.02921, section 3.3): at test time alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lineage.ops.square_symmetries import SYMMETRIES, apply_symmetry, apply_symmetry_to_flow, undo_symmetry
from lineage.structures import INTERPOLATION, FramePairs


class SelfEnsemble:
    """Mean of what a model draws of a pair in several of the eight symmetries of the square.

    # deviates: padding is turned with the frames; the authors' frames have none, as sides of 720p are multiples of 16
    """

    task = INTERPOLATION

    def __init__(self, model: nn.Module, *, views: int) -> None:
        if not 1 <= views <= len(SYMMETRIES):
            raise ValueError(f"tta.views={views}: a square has {len(SYMMETRIES)} symmetries, so it is 1 to 8")
        self.model, self.views = model, views

    def detect(self, pairs: FramePairs) -> Tensor:
        """Return the mean frame [B, 3, H, W]."""
        frames = []
        for turns, mirrored in SYMMETRIES[: self.views]:
            view = pairs._replace(
                frames=apply_symmetry(pairs.frames, turns, mirrored),
                sizes=pairs.sizes.flip(1) if turns % 2 else pairs.sizes,
                flows=None if pairs.flows is None else apply_symmetry_to_flow(pairs.flows, turns, mirrored),
            )
            frames.append(undo_symmetry(self.model.detect(view), turns, mirrored))
        return torch.stack(frames).mean(0)
