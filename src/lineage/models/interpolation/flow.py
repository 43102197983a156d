"""The motion between two frames: estimated, given by the dataset, or left out; and that of a time between them."""

from __future__ import annotations

from torch import Tensor, nn

from lineage.structures import FramePairs


class UnknownFlowError(ValueError):
    """A dataset that lacks the motion that a model reads."""


class ExactFlow(nn.Module):
    """The motion that the dataset knows, as drawn ones do."""

    def forward(self, first: Tensor, second: Tensor, pairs: FramePairs) -> tuple[Tensor, Tensor]:
        """Return the flows [B, 2, H, W] from the first frame to the second and back."""
        if pairs.flows is None:
            raise UnknownFlowError(
                "model.flow=exact reads the motion between frames from the dataset, and this one has none: choose "
                "model.flow=spynet, or dataset=moving_shapes, which draws its videos"
            )
        return pairs.flows[:, 0], pairs.flows[:, 1]


def combine_super_slomo(forward: Tensor, backward: Tensor, time: float) -> tuple[Tensor, Tensor]:
    """Return the flows from the frame at `time` to the first and to the second (Super SloMo, arXiv:1712.00080, eq. 4).

    forward, backward: flows [B, 2, H, W] from the first frame to the second and back.
    """
    to_first = -(1 - time) * time * forward + time**2 * backward
    to_second = (1 - time) ** 2 * forward - time * (1 - time) * backward
    return to_first, to_second


def scale_flows(forward: Tensor, backward: Tensor, time: float) -> tuple[Tensor, Tensor]:
    """Return what `combine_super_slomo` returns from one flow each: parts of the way back and of the way on."""
    return time * backward, (1 - time) * forward
