"""Region Proposal Network: Faster R-CNN (arXiv:1506.01497), section 3.1; on a pyramid: FPN (arXiv:1612.03144), 4.1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineage.models.backbones.init import gaussian
from lineage.models.losses.diagnostics import count_samples, measure_recall
from lineage.models.proposals.anchor_grid import check_anchors, repeat
from lineage.models.proposals.ranking import ranks_segments, top_k, top_k_of_segments
from lineage.ops import boxes as box_ops
from lineage.ops.layers.convolution import convolve
from lineage.ops.layers.level_canvas import can_pack, convolve_packed, pack, predict_packed
from lineage.ops.matching import Match, Matcher, object_loss_weights, subsample
from lineage.ops.nms import nms
from lineage.ops.random import uniform
from lineage.structures import Images, Loss, Losses, Proposals, Targets

SALT, RANKING_SALT = 1, 4  # separate the random streams of this sampler and of a random ranking from the RoI sampler's
NORMALIZERS = ("samples", "positions")
RANKINGS = ("score", "random")


class Predictions(NamedTuple):
    """Anchors of all levels, one after the other, and what the network predicts for them."""

    anchors: Tensor  # [A, 4]
    logits: Tensor  # [B, A] objectness
    deltas: Tensor  # [B, A, 4]
    sizes: list[int]  # A_l, anchors of each level


class TopN(NamedTuple):
    """Numbers of proposals: per level before NMS, per image after it."""

    pre_nms: int
    post_nms: int


class AnchorGenerator(nn.Module):
    """Reference boxes: one per size of sizes[l] and aspect ratio (height / width) at every position of level l."""

    def __init__(
        self, *, sizes: Sequence[Sequence[float]], aspect_ratios: Sequence[float], strides: Sequence[int], rounded: bool
    ):
        super().__init__()
        check_anchors(sizes, aspect_ratios, strides)
        self.strides = tuple(strides)
        self.per_position = len(sizes[0]) * len(aspect_ratios)
        ratios = torch.tensor(aspect_ratios, dtype=torch.float32)
        for level, level_sizes in enumerate(sizes):
            scales = torch.tensor(level_sizes, dtype=torch.float32)
            heights = (ratios.sqrt()[:, None] * scales).flatten()
            widths = ((1 / ratios.sqrt())[:, None] * scales).flatten()
            base = torch.stack((-widths, -heights, widths, heights), dim=1) / 2
            # anchors of Faster R-CNN and torchvision have whole coordinates, those of Detectron2 have not
            self.register_buffer(f"base{level}", base.round() if rounded else base, persistent=False)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return the anchors of each level, [A_l, 4], position-major (row, column, anchor)."""
        # deviates: torchvision divides image by map size, which is wrong for P6 of sides that 64 does not divide
        bases = [getattr(self, f"base{level}") for level in range(len(self.strides))]
        return [repeat(*level) for level in zip(bases, maps, self.strides, strict=True)]


class RPN(nn.Module):
    """Proposal generator: classifies and regresses anchors, and returns the best boxes.

    depth: number of 3x3 convolutions before the two outputs (the paper: 1).
    batch_size_per_image, positive_fraction: anchors per image in the loss, and the largest fraction of foreground.
    pre_nms_top_n, post_nms_top_n: proposals per level before NMS and per image after it, each {train, test}.
    min_size: shortest side of a proposal in pixels.
    score_thresh: proposals below this objectness are dropped; null keeps all.
    anchor_boundary_thresh: anchors that reach further out of the image (pixels) are not trained; the paper: 0, FPN:
    null, which keeps all.
    box_loss_weight, box_loss_normalizer: lambda of equation 1, and N_reg: number of "samples" or of "positions".
    ranking, regress_at_test: ablations of table 2: rank by "score" or at "random"; false: proposals are the anchors.
    """

    def __init__(
        self,
        channels: int,
        *,
        anchors: AnchorGenerator,
        depth: int,
        matcher: Matcher,
        batch_size_per_image: int,
        positive_fraction: float,
        bbox_reg_weights: Sequence[float],
        smooth_l1_beta: float,
        pre_nms_top_n: dict[str, int],
        post_nms_top_n: dict[str, int],
        nms_thresh: float,
        min_size: float,
        score_thresh: float | None,
        anchor_boundary_thresh: float | None,
        box_loss_weight: float,
        box_loss_normalizer: str,
        ranking: str,
        regress_at_test: bool,
    ):
        super().__init__()
        if box_loss_normalizer not in NORMALIZERS:
            raise ValueError(
                f"model.proposals.box_loss_normalizer={box_loss_normalizer}: choose {' or '.join(NORMALIZERS)}"
            )
        if ranking not in RANKINGS:
            raise ValueError(f"model.proposals.ranking={ranking}: choose {' or '.join(RANKINGS)}")
        self.convolution = nn.Conv2d(channels, channels, 3, padding=1)
        self.deeper = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(depth - 1))
        self.objectness = nn.Conv2d(channels, anchors.per_position, 1)
        self.deltas = nn.Conv2d(channels, 4 * anchors.per_position, 1)
        gaussian(0.01, self.convolution, *self.deeper, self.objectness, self.deltas)
        self.anchors, self.match = anchors, matcher
        self.batch_size_per_image, self.positive_fraction = batch_size_per_image, positive_fraction
        self.bbox_reg_weights, self.smooth_l1_beta = tuple(bbox_reg_weights), smooth_l1_beta
        self.train_top_n = TopN(pre_nms_top_n["train"], post_nms_top_n["train"])
        self.test_top_n = TopN(pre_nms_top_n["test"], post_nms_top_n["test"])
        self.nms_thresh, self.min_size = nms_thresh, min_size
        self.min_logit = None if score_thresh is None else math.log(score_thresh / (1 - score_thresh))
        self.anchor_boundary_thresh = anchor_boundary_thresh
        self.box_loss_weight, self.box_loss_normalizer = box_loss_weight, box_loss_normalizer
        self.ranking, self.regress_at_test = ranking, regress_at_test
        self.draws_at_test = ranking == "random"

    def losses(self, images: Images, features: list[Tensor], targets: Targets) -> tuple[Proposals, Losses]:
        """Return the proposals that the detector is trained on, and the RPN's own two losses."""
        predictions = self._predict(features)
        proposals = self._select(images, predictions, self.train_top_n)
        losses = self._losses(images, predictions, targets)
        cls = losses["rpn_cls"]
        diagnostics = (*measure_recall(proposals, targets), *cls.diagnostics)
        return proposals, losses | {"rpn_cls": cls._replace(diagnostics=diagnostics)}

    def propose(self, images: Images, features: list[Tensor]) -> Proposals:
        """Return proposals [B, N] by falling score."""
        return self._select(images, self._rank(images, features), self.test_top_n)

    @torch.no_grad()
    def find_anchors(self, images: Images, features: list[Tensor], proposals: Tensor) -> Tensor:
        """Return the anchors [N] that became proposals [N, 4] of the first image, as indices over all levels.

        If several became the same box, it is the one of the largest objectness.
        """
        anchors, logits, deltas, _ = self._rank(images, features)
        scores = logits[0]
        boxes = box_ops.decode(deltas[:1], anchors[None], self.bbox_reg_weights)
        boxes = box_ops.clip(boxes[:, None], images.sizes[:1])[0, 0]
        indices = []
        for proposal in proposals:
            distance = (boxes - proposal).abs().amax(-1)
            nearest = distance <= distance.min() + 1e-3
            indices.append(torch.where(nearest, scores, -torch.inf).argmax())
        return torch.stack(indices) if indices else proposals.new_zeros(0, dtype=torch.int64)

    def objectness_logits(self, features: list[Tensor]) -> Tensor:
        """Return the logits [B, A] of all anchors, level by level."""
        return self._predict(features).logits

    def _rank(self, images: Images, features: list[Tensor]) -> Predictions:
        """Return the predictions by which proposals are ranked at test time."""
        predictions = self._predict(features)
        if self.ranking == "random":
            random = uniform(images.rng_keys, RANKING_SALT, sum(predictions.sizes))
            predictions = predictions._replace(logits=random)
        if not self.regress_at_test:
            predictions = predictions._replace(deltas=torch.zeros_like(predictions.deltas))
        return predictions

    def _predict(self, features: list[Tensor]) -> Predictions:
        if can_pack(features):
            return self._predict_packed(features)
        logits, deltas = [], []
        weight, bias = self._outputs()
        count = self.anchors.per_position
        for x in features:
            hidden = convolve(x, self.convolution)
            for deeper in self.deeper:
                hidden = convolve(hidden, deeper)
            outputs = F.conv2d(hidden, weight, bias).permute(0, 2, 3, 1)
            logits.append(outputs[..., :count].flatten(1).float())
            deltas.append(outputs[..., count : 5 * count].reshape(x.shape[0], -1, 4).float())
        anchors = self.anchors(features)
        sizes = [len(level) for level in anchors]
        return Predictions(torch.cat(anchors), torch.cat(logits, 1), torch.cat(deltas, 1), sizes)

    def _predict_packed(self, features: list[Tensor]) -> Predictions:
        """Predict for all levels at once, from two maps."""
        levels, anchors, count = pack(features), self.anchors(features), self.anchors.per_position
        for convolution in (self.convolution, *self.deeper):
            levels = convolve_packed(levels, cast(nn.Conv2d, convolution))
        outputs = predict_packed(levels, *self._outputs(), padding=0)
        # split, not sliced: the gradients of parts are joined in one pass
        logits, deltas, _ = outputs.split((count, 4 * count, outputs.shape[2] - 5 * count), 2)
        logits, deltas = logits.flatten(1), deltas.reshape(len(outputs), -1, 4)
        return Predictions(torch.cat(anchors), logits, deltas, [len(level) for level in anchors])

    def _outputs(self) -> tuple[Tensor, Tensor]:
        """Join both 1x1 convolutions, so that the hidden maps are read once.

        On CUDA filters of zeros make their number a multiple of 8, which matrix units need. Elsewhere nothing is
        padded: ONNX Runtime 1.32 moves a padding of the filters to the maps, also one of no width.
        """
        weight = torch.cat((self.objectness.weight, self.deltas.weight))
        bias = torch.cat((cast(Tensor, self.objectness.bias), cast(Tensor, self.deltas.bias)))
        if not weight.is_cuda:
            return weight, bias
        padding = -len(weight) % 8
        return F.pad(weight, (0, 0, 0, 0, 0, 0, 0, padding)), F.pad(bias, (0, padding))

    @torch.no_grad()
    def _select(self, images: Images, predictions: Predictions, top_n: TopN) -> Proposals:
        # 1. the highest scores of each level, decoded and clipped
        slots = min(top_n.pre_nms, max(predictions.sizes))
        boxes, logits = self._top_of_levels(images.sizes, slots, predictions)  # [B, L, slots, 4], [B, L, slots]
        # 2. drop empty slots, small boxes and low scores
        valid = (logits > -torch.inf) & box_ops.has_min_size(boxes, self.min_size)
        if self.min_logit is not None:
            valid = valid & (logits >= self.min_logit)
        # 3. NMS within each level
        rows = valid.flatten(0, 1)
        one_group = torch.zeros_like(rows, dtype=torch.int64)
        keep = nms(boxes.flatten(0, 1), one_group, rows, self.nms_thresh).view_as(valid)
        # 4. the highest scores of the image
        scores = torch.where(keep, logits, -torch.inf).flatten(1)
        scores, index = top_k(scores, min(top_n.post_nms, scores.shape[1]))
        valid = scores > -torch.inf
        boxes = torch.where(valid[..., None], box_ops.take(boxes.flatten(1, 2), index), 0.0)
        return Proposals(boxes, torch.where(valid, scores, 0.0), valid)

    def _top_of_levels(self, sizes: Tensor, slots: int, predictions: Predictions) -> tuple[Tensor, Tensor]:
        """Return boxes in the image and logits of each level's `slots` best anchors.

        A level that has fewer is padded with boxes of zeros and logits of -inf.
        """
        anchors, logits, deltas, counts = predictions
        if ranks_segments(logits, counts):
            logits, index = top_k_of_segments(logits, counts, slots)
            return box_ops.decode_at(deltas, anchors, index, self.bbox_reg_weights, sizes), logits
        parts = zip(anchors.split(counts), logits.split(counts, 1), deltas.split(counts, 1), strict=True)
        levels = [self._top_of_level(sizes, slots, *part) for part in parts]
        return torch.stack([boxes for boxes, _ in levels], 1), torch.stack([best for _, best in levels], 1)

    def _top_of_level(
        self, sizes: Tensor, slots: int, anchors: Tensor, logits: Tensor, deltas: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return what _top_of_levels does of one level: [B, slots, 4] and [B, slots]."""
        logits, index = logits.topk(min(slots, logits.shape[1]))
        boxes = box_ops.decode_inside(box_ops.take(deltas, index), anchors[index], self.bbox_reg_weights, sizes)
        padding = slots - logits.shape[1]
        return F.pad(boxes, (0, 0, 0, padding)), F.pad(logits, (0, padding), value=-torch.inf)

    def _losses(self, images: Images, predictions: Predictions, targets: Targets) -> Losses:
        anchors, logits, deltas, _ = predictions
        # 1. match anchors with objects and sample them
        match = self.match_anchors(images, anchors, targets)
        subset = subsample(
            match,
            count=self.batch_size_per_image,
            fraction=self.positive_fraction,
            rng_keys=images.rng_keys,
            salt=SALT,
        )
        sampled, foreground = subset.valid.float(), subset.foreground.float()
        matched_idx = match.matched_idx.gather(1, subset.slots)
        weights = object_loss_weights(targets, matched_idx, subset.foreground)
        # 2. objectness
        sampled_logits = logits.gather(1, subset.slots)
        cls = F.binary_cross_entropy_with_logits(sampled_logits, foreground, sampled * weights, reduction="sum")
        # 3. boxes, of foreground alone
        gt_boxes = box_ops.take(targets.boxes, matched_idx)
        gt_deltas = box_ops.encode(gt_boxes, anchors[subset.slots], self.bbox_reg_weights)
        gt_deltas = torch.where(subset.foreground[..., None], gt_deltas, 0.0)
        pred_deltas = box_ops.take(deltas, subset.slots)
        box_losses = F.smooth_l1_loss(pred_deltas, gt_deltas, beta=self.smooth_l1_beta, reduction="none")
        box = (box_losses * (foreground * weights)[..., None]).sum() * self.box_loss_weight
        positions = sampled.new_full((), logits.numel() / self.anchors.per_position)
        normalizer = positions if self.box_loss_normalizer == "positions" else sampled.sum()
        counts = count_samples(subset.foreground, subset.valid)
        return {"rpn_cls": Loss(cls, sampled.sum(), counts), "rpn_box": Loss(box, normalizer)}

    def match_anchors(self, images: Images, anchors: Tensor, targets: Targets) -> Match:
        """Match anchors [A, 4] with the objects; anchors beyond `anchor_boundary_thresh` are ignored."""
        if self.anchor_boundary_thresh is None:
            return self.match(anchors[None], targets)
        limits = images.sizes.flip(-1)[:, None] + self.anchor_boundary_thresh  # [B, 1, 2] (width, height)
        inside = (anchors[:, :2] >= -self.anchor_boundary_thresh).all(-1) & (anchors[:, 2:] <= limits).all(-1)  # [B, A]
        # an anchor without area overlaps nothing, so that it is no object's best either
        match = self.match(torch.where(inside[..., None], anchors, 0.0), targets)
        return match._replace(background=match.background & inside)
