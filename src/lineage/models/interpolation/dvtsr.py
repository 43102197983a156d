"""DVTSR (ICCVW 2019): both frames warped to the time between them, then a U-Net that draws the frame there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from lineage.models.interpolation.dhdn import DHDN
from lineage.models.interpolation.flow import ExactFlow, combine_super_slomo, keep_flows, scale_flows
from lineage.models.interpolation.spynet import SPyNet
from lineage.ops.warp import warp_backward
from lineage.structures import INTERPOLATION, FramePairs, Loss, Losses

COMBINATIONS = {"super_slomo": combine_super_slomo, "scaled": scale_flows}


class DVTSR(nn.Module):
    """The network of one time between two frames: the authors train three, for 1/4, 1/2 and 3/4.

    flow         spynet: estimated and trained along; exact: the dataset's between both frames; exact_intermediate: the
                 dataset's from `time` to both frames, which `combination` leaves as it is; none: frames are not warped
    combination  of the two flows to those of `time`: super_slomo, or scaled, one of them each
    loss         of the frame: l1 or l2
    flow_loss    weight of the endpoint error of SPyNet, on datasets that know the motion; 0: none
    """

    task = INTERPOLATION
    size_divisibility = 16

    def __init__(
        self,
        *,
        time: float,
        flow: Literal["spynet", "exact", "exact_intermediate", "none"],
        spynet: Callable[[], SPyNet],
        combination: Literal["super_slomo", "scaled"],
        network: DHDN,
        loss: Literal["l1", "l2"],
        flow_loss: float,
    ) -> None:
        super().__init__()
        self.time, self.flow_loss = time, flow_loss
        self.combination = keep_flows if flow == "exact_intermediate" else COMBINATIONS[combination]
        self.flow = None if flow == "none" else spynet() if flow == "spynet" else ExactFlow(from_wanted=flow != "exact")
        self.network = network
        self.power = {"l1": 1, "l2": 2}[loss]

    def losses(self, pairs: FramePairs, targets: Tensor) -> Losses:
        """Return the mean distance of the frame to `targets` [B, 3, H, W], and that of SPyNet's flows to the true."""
        frames, flows = self._draw(pairs)
        inside = find_inside(pairs)
        distance = (frames - targets / 255).abs() ** self.power * inside
        losses = {"frame": Loss(distance.sum(), 3 * inside.sum())}
        if isinstance(self.flow, SPyNet) and flows is not None and pairs.flows is not None and self.flow_loss:
            errors = (flows - pairs.flows[:, :2]).square().sum(2).add(1e-6).sqrt() * inside  # [B, 2, H, W]
            losses["flow"] = Loss(self.flow_loss * errors.sum(), 2 * inside.sum())
        return losses

    def detect(self, pairs: FramePairs) -> Tensor:
        """Return the frame [B, 3, H, W] at `time`, in 0..1 but for the errors of the network."""
        return self._draw(pairs)[0]

    def _draw(self, pairs: FramePairs) -> tuple[Tensor, Tensor | None]:
        """Return the frame, and the two flows [B, 2, 2, H, W] of `self.flow` if there are any."""
        first, second = (pairs.frames / 255).unbind(1)
        if self.flow is None:
            return self.network(torch.cat((first, second), 1)), None
        forward, backward = self.flow(first, second, pairs)
        to_first, to_second = self.combination(forward, backward, self.time)
        warped = warp_backward(first, to_first), warp_backward(second, to_second)
        return self.network(torch.cat(warped, 1)), torch.stack((forward, backward), 1)


def find_inside(pairs: FramePairs) -> Tensor:
    """Return 1 for the pixels of the frames and 0 for padding, [B, 1, H, W]."""
    height, width = pairs.frames.shape[-2:]
    rows = torch.arange(height, device=pairs.sizes.device) < pairs.sizes[:, :1]  # [B, H]
    columns = torch.arange(width, device=pairs.sizes.device) < pairs.sizes[:, 1:]
    return (rows[:, None, :, None] & columns[:, None, None, :]).float()
