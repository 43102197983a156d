"""The motion between two frames, and that from a time between them: of the dataset, or combined from the former."""

from __future__ import annotations

from torch import Tensor, nn

from lineage.structures import FramePairs


class UnknownFlowError(ValueError):
    """A dataset that lacks the motion that a model reads."""


class ExactFlow(nn.Module):
    """The motion that the dataset knows, as drawn ones do.

    # deviates: Super SloMo's equation 4 reads the flow of a pixel of the first frame at the same place of the wanted
    # frame, where another object may be by then. The flows from the wanted frame have no such error.

    from_wanted  return the flows from the wanted frame to the first and to the second, which need no combination;
                 otherwise those from the first frame to the second and back
    """

    def __init__(self, *, from_wanted: bool) -> None:
        super().__init__()
        self.ways = slice(2, 4) if from_wanted else slice(0, 2)

    def forward(self, first: Tensor, second: Tensor, pairs: FramePairs) -> tuple[Tensor, Tensor]:
        """Return two flows [B, 2, H, W]."""
        if pairs.flows is None:
            raise UnknownFlowError(
                "model.flow=exact and exact_intermediate read the motion between frames from the dataset, and this one "
                "has none: choose model.flow=spynet, or dataset=moving_shapes, which draws its videos"
            )
        forward, backward = pairs.flows[:, self.ways].unbind(1)
        return forward, backward


def keep_flows(to_first: Tensor, to_second: Tensor, time: float) -> tuple[Tensor, Tensor]:
    """Return flows that are those from the frame at `time` already."""
    return to_first, to_second


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
