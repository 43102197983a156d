"""Landmarks of the class of an object: CenterNet (arXiv:1904.07850), section 5.2; DeepMark (arXiv:1910.01225).

They are regressed from the centre, and each is moved to the nearest peak of its own heat map. DeepMark has 294 of 13
classes; those of the predicted class alone are read, so that the work of a detection is that of its class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from lineage.models.centers.branch import Branch
from lineage.models.centers.center_head import HeatLoss, mean_over_stacks
from lineage.models.centers.center_targets import CenterTargets, object_weights, weigh_positives
from lineage.models.centers.heatmap import gather_cells
from lineage.models.centers.landmark_layout import make_layout
from lineage.models.centers.landmark_targets import draw_landmarks, encode_landmarks, take_rows
from lineage.models.centers.refinement import Peaks, read_heat, refine
from lineage.models.losses.class_losses import prior_bias
from lineage.models.roi_heads.required_targets import KEYPOINTS, require
from lineage.structures import Detections, Diagnostic, Loss, Losses, Targets

SHARING = ("separate", "grouped")


class LandmarkMaps(NamedTuple):
    """The predictions on one map, J landmark maps; positions are in cells."""

    points: Tensor  # [B, 2 J, H, W] from a centre's cell to each landmark, (x, y) alternating
    heat: Tensor  # [B, J, H, W] logits in training, probabilities at test time
    offsets: Tensor  # [B, 2, H, W] from the corner of a landmark's cell to the landmark, whichever it is


class LandmarkHead(nn.Module):
    """Landmark positions from each centre, and heat maps of landmarks.

    counts, offsets: [C] of the landmarks of each class, see landmark_layout.py; null: every class has all.
    groups: [K] the map of each landmark if `sharing` is grouped; separate: each has a map of its own.
    point_weight, heat_weight, offset_weight: of the losses.
    peaks_per_map, peak_thresh, max_distance: of the refinement, see refinement.py.
    """

    required_targets: ClassVar = (KEYPOINTS,)

    def __init__(
        self,
        channels: int,
        stacks: int,
        *,
        stride: int,
        width: int,
        num_classes: int,
        num_keypoints: int,
        counts: Sequence[int] | None,
        offsets: Sequence[int] | None,
        sharing: str,
        groups: Sequence[int] | None,
        prior_prob: float,
        heat_loss: HeatLoss,
        point_weight: float,
        heat_weight: float,
        offset_weight: float,
        peaks_per_map: int,
        peak_thresh: float,
        max_distance: float,
    ):
        super().__init__()
        self.layout = make_layout(num_classes, num_keypoints, counts, offsets, _choose_groups(sharing, groups))
        maps = self.layout.num_maps
        bias = prior_bias(prior_prob)
        self.points = _branches(stacks, lambda: Branch(channels, 2 * maps, width=width))
        self.heat = _branches(stacks, lambda: Branch(channels, maps, width=width, bias=bias))
        self.offsets = _branches(stacks, lambda: Branch(channels, 2, width=width))
        slots = self.layout.slots.where(self.layout.exists, -1)
        self.register_buffer("slots", slots, persistent=False)
        self.register_buffer("channels", self.layout.channels, persistent=False)
        self.stride, self.heat_loss = stride, heat_loss
        self.point_weight, self.heat_weight, self.offset_weight = point_weight, heat_weight, offset_weight
        self.peaks_per_map, self.peak_thresh, self.max_distance = peaks_per_map, peak_thresh, max_distance

    def maps(self, features: list[Tensor]) -> list[LandmarkMaps]:
        """Predict on the map of each stack [B, channels, H, W]."""
        return [self._map(x, stack) for stack, x in enumerate(features)]

    def _map(self, x: Tensor, stack: int) -> LandmarkMaps:
        return LandmarkMaps(*(branches[stack](x).float() for branches in (self.points, self.heat, self.offsets)))

    def losses(self, features: list[Tensor], centers: CenterTargets, targets: Targets) -> Losses:
        """Return the losses, each the mean over stacks."""
        # 1. the landmarks of each object's class
        height, width = features[0].shape[-2:]
        keypoints = require(targets.keypoints, "keypoints")
        slots, channels = (take_rows(table, targets.labels) for table in (self.slots, self.channels))
        encoded = encode_landmarks(keypoints, centers, slots, channels, stride=self.stride, size=(height, width))
        with torch.no_grad():
            heat = draw_landmarks(encoded, centers.radius, num_maps=self.layout.num_maps, size=(height, width))
            positives = (heat == 1).sum().float()
            num_coordinates = 2 * encoded.labelled.sum().float()
            weights = encoded.labelled * object_weights(centers, targets)[..., None]
            index = encoded.cell_index(width).flatten(1)
            cells = channels[..., None].expand(-1, -1, -1, 2)
            cell_weights = weigh_positives(heat, channels.flatten(1), index, weights.flatten(1))
        # 2. positions from the centre, heat, offsets within a cell
        point_sums, heat_sums, offset_sums = [], [], []
        for maps in self.maps(features):
            points = gather_cells(maps.points, centers.cell_index).unflatten(-1, (-1, 2)).gather(2, cells)
            offsets = gather_cells(maps.offsets, index).view_as(encoded.offsets)
            point_sums.append(((points - encoded.points).abs().sum(-1) * weights).sum())
            heat_sums.append((self.heat_loss(maps.heat, heat) * cell_weights).sum())
            offset_sums.append(((offsets - encoded.offsets).abs().sum(-1) * weights).sum())
        images = num_coordinates.new_tensor(float(len(heat)))
        diagnostics = (Diagnostic("num_positive", positives, images),)
        return {
            "landmark_point": Loss(self.point_weight * mean_over_stacks(point_sums), num_coordinates),
            "landmark_heat": Loss(self.heat_weight * mean_over_stacks(heat_sums), positives, diagnostics),
            "landmark_offset": Loss(self.offset_weight * mean_over_stacks(offset_sums), num_coordinates),
        }

    def predict(self, features: list[Tensor]) -> LandmarkMaps:
        """Return the maps of the last stack, with probabilities."""
        maps = self._map(features[-1], len(features) - 1)
        return maps._replace(heat=maps.heat.sigmoid())

    def locate(self, maps: LandmarkMaps, detections: Detections) -> Detections:
        """Add keypoints [B, D, K, 3] (x, y, score) of the detected classes; those of other classes are 0.

        `proposal_index` is the cell of each centre. The score is the heat of a landmark's own map where it lies.
        """
        width = maps.heat.shape[-1]
        # 1. the landmarks of the detected class, from its centre
        labels = detections.labels.clamp(max=len(self.slots) - 1)
        index = detections.proposal_index
        slots = take_rows(self.slots, labels)  # [B, D, L]
        channels = take_rows(self.channels, labels)  # [B, D, L]
        corner = torch.stack((index % width, index // width), -1)[:, :, None]
        all_points = gather_cells(maps.points, index).unflatten(-1, (-1, 2))
        points = corner + all_points.gather(2, channels[..., None].expand(-1, -1, -1, 2))
        # 2. the nearest peak
        peaks = Peaks.find(maps.heat, maps.offsets, self.peaks_per_map)
        boxes = detections.boxes / self.stride
        refined, score, is_refined = refine(
            points, boxes, peaks, channels, min_score=self.peak_thresh, max_distance=self.max_distance
        )
        score = torch.where(is_refined, score, read_heat(maps.heat, points, channels))
        # 3. into the dataset's slots; padding goes to a slot behind the last
        count = self.layout.num_keypoints
        place = slots.where(slots >= 0, count)[..., None].expand(-1, -1, -1, 3)
        values = torch.cat((refined * self.stride, score[..., None]), -1)
        keypoints = values.new_zeros(*slots.shape[:2], count + 1, 3).scatter(2, place, values)
        return detections._replace(keypoints=keypoints[:, :, :count])


def _branches(stacks: int, build: Callable[[], Branch]) -> nn.ModuleList:
    return nn.ModuleList(build() for _ in range(stacks))


def _choose_groups(sharing: str, groups: Sequence[int] | None) -> Sequence[int] | None:
    if sharing not in SHARING:
        raise ValueError(f"model.landmarks.sharing={sharing} is unknown; choose one of {', '.join(SHARING)}")
    if sharing == "grouped" and not groups:
        raise ValueError(
            "model.landmarks.sharing=grouped needs model.landmarks.groups, the map of each landmark; a dataset whose "
            "classes have landmarks of their own has them, such as dataset=shapes_garments or deepfashion2"
        )
    return groups if sharing == "grouped" else None
