"""Objects as points: CenterNet (arXiv:1904.07850), sections 3 and 4: a heat map of centres, box sizes, offsets."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lineage.models.centers.branch import Branch
from lineage.models.centers.center_targets import (
    CenterTargets,
    count_shared_cells,
    draw_centers,
    encode_centers,
    object_weights,
    weigh_positives,
)
from lineage.models.centers.heatmap import gather_cells, keep_peaks
from lineage.models.losses.class_losses import append_background, prior_bias
from lineage.models.roi_heads.nms_variants import Suppression
from lineage.models.roi_heads.postprocess import Candidates, finalize
from lineage.ops import boxes as box_ops
from lineage.structures import Detections, Diagnostic, Images, Loss, Losses, Targets

HeatLoss = Callable[[Tensor, Tensor], Tensor]  # logits and target of one shape -> unreduced losses


class CenterMaps(NamedTuple):
    """The predictions on one map; positions are in cells."""

    heat: Tensor  # [B, C, H, W] logits in training, probabilities at test time
    sizes: Tensor  # [B, 2, H, W] (width, height) of the box whose centre is in a cell
    offsets: Tensor  # [B, 2, H, W] from the cell's corner to the centre


class CenterHead(nn.Module):
    """Class, box size and offset in each cell of a map of `stride`, once per stack of the body.

    width: of the 3x3 convolutions. prior_prob: initial probability of every class.
    min_overlap, radius: of the Gaussians, see heatmap.gaussian_radius.
    size_weight, offset_weight: of these losses; that of the heat map is 1.
    topk_candidates: peaks of an image that become boxes. score_thresh: lower limit of a detection's score.
    """

    def __init__(
        self,
        channels: int,
        stacks: int,
        *,
        stride: int,
        width: int,
        num_classes: int,
        prior_prob: float,
        heat_loss: HeatLoss,
        min_overlap: float,
        radius: str,
        size_weight: float,
        offset_weight: float,
        score_thresh: float,
        nms_thresh: float,
        suppression: Suppression,
        topk_candidates: int,
        detections_per_img: int,
    ):
        super().__init__()
        self.stride, self.strides, self.num_classes = stride, (stride,) * stacks, num_classes
        bias = prior_bias(prior_prob)
        self.heat = nn.ModuleList(Branch(channels, num_classes, width=width, bias=bias) for _ in range(stacks))
        self.sizes = nn.ModuleList(Branch(channels, 2, width=width) for _ in range(stacks))
        self.offsets = nn.ModuleList(Branch(channels, 2, width=width) for _ in range(stacks))
        self.heat_loss, self.min_overlap, self.radius = heat_loss, min_overlap, radius
        self.size_weight, self.offset_weight = size_weight, offset_weight
        self.score_thresh, self.nms_thresh, self.suppression = score_thresh, nms_thresh, suppression
        self.topk_candidates, self.detections_per_img = topk_candidates, detections_per_img

    def maps(self, features: list[Tensor]) -> list[CenterMaps]:
        """Predict on the map of each stack [B, channels, H, W]."""
        return [self._map(x, stack) for stack, x in enumerate(features)]

    def _map(self, x: Tensor, stack: int) -> CenterMaps:
        return CenterMaps(*(branches[stack](x).float() for branches in (self.heat, self.sizes, self.offsets)))

    def encode(self, features: list[Tensor], targets: Targets) -> CenterTargets:
        """Return the centres of the objects on the maps."""
        height, width = features[0].shape[-2:]
        return encode_centers(
            targets, stride=self.stride, size=(height, width), min_overlap=self.min_overlap, radius=self.radius
        )

    def losses(self, features: list[Tensor], centers: CenterTargets, targets: Targets) -> Losses:
        """Return the losses, each the mean over stacks (section 5: intermediate supervision)."""
        height, width = features[0].shape[-2:]
        with torch.no_grad():
            heat = draw_centers(centers, targets, num_classes=self.num_classes, size=(height, width))
            positives = (heat == 1).sum()
            diagnostics = (
                Diagnostic("num_positive", positives, heat.new_tensor(float(len(heat)))),
                Diagnostic("num_shared_cells", count_shared_cells(centers), heat.new_tensor(float(len(heat)))),
            )
            weights = object_weights(centers, targets)
            cell_weights = weigh_positives(heat, targets.labels, centers.cell_index, weights)
        stacks = self.maps(features)
        heat_sum = mean_over_stacks([(self.heat_loss(maps.heat, heat) * cell_weights).sum() for maps in stacks])
        num_coordinates = 2 * centers.positive.sum()  # of each centre: width and height, or x and y
        size_sum = mean_over_stacks([_l1(maps.sizes, centers.cell_index, centers.sizes, weights) for maps in stacks])
        offset_sum = mean_over_stacks(
            [_l1(maps.offsets, centers.cell_index, centers.offsets, weights) for maps in stacks]
        )
        return {
            "center_heat": Loss(heat_sum, positives.float(), diagnostics),
            "center_size": Loss(self.size_weight * size_sum, num_coordinates.float()),
            "center_offset": Loss(self.offset_weight * offset_sum, num_coordinates.float()),
        }

    def predict_last(self, x: Tensor) -> CenterMaps:
        """Predict on the map of the last stack [B, channels, H, W], with logits."""
        return self._map(x, len(self.strides) - 1)

    def predict(self, features: list[Tensor]) -> CenterMaps:
        """Return the maps of the last stack, with probabilities."""
        maps = self.predict_last(features[-1])
        return maps._replace(heat=maps.heat.sigmoid())

    def decode(self, maps: CenterMaps, images: Images) -> Detections:
        """Return detections [B, D] by falling score (section 4); `proposal_index` is the cell of the centre."""
        # 1. the highest peaks of all classes
        columns = maps.heat.shape[-1]
        cells = maps.heat.shape[-2] * columns
        peaks = keep_peaks(maps.heat).flatten(1)
        scores, index = peaks.topk(min(self.topk_candidates, peaks.shape[1]))
        labels, index = index // cells, index % cells
        # 2. their boxes
        corner = torch.stack((index % columns, index // columns), -1)
        centers = corner + gather_cells(maps.offsets, index)
        half = gather_cells(maps.sizes, index).clamp(min=0) / 2
        boxes = box_ops.clip(torch.cat((centers - half, centers + half), -1) * self.stride, images.sizes)
        # 3. drop low scores and boxes outside the image; suppress, if anything is chosen (the paper: a peak is enough)
        valid = (scores > self.score_thresh) & (box_ops.area(boxes) > 0)
        return finalize(
            Candidates(boxes, scores, labels, valid, index),
            lambda chosen: append_background(gather_cells(maps.heat, chosen)),
            suppression=self.suppression,
            nms_thresh=self.nms_thresh,
            detections_per_img=self.detections_per_img,
        )


def mean_over_stacks(sums: list[Tensor]) -> Tensor:
    """Return the mean over stacks of the sums of a loss."""
    return torch.stack(sums).mean()


def _l1(maps: Tensor, index: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted sum of |prediction - target| in cells `index` [B, G]; target [B, G, 2], weights [B, G]."""
    return ((gather_cells(maps, index) - target).abs().sum(-1) * weights).sum()
