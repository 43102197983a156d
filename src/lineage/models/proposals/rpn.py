"""Region Proposal Network: Faster R-CNN (arXiv:1506.01497), section 3.1; on a pyramid: FPN (arXiv:1612.03144), 4.1."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineage.models.backbones.init import gaussian
from lineage.models.losses.diagnostics import count_samples, measure_recall
from lineage.ops import boxes as box_ops
from lineage.ops.matching import Match, Matcher, shares, subsample
from lineage.ops.nms import nms
from lineage.ops.random import uniform
from lineage.structures import Images, Loss, Losses, Proposals, Targets

SALT, RANK = 1, 4  # separate the random streams of this sampler and of a random ranking from the RoI sampler's
NORMALIZERS = ("samples", "positions")
RANKINGS = ("score", "random")


class AnchorGenerator(nn.Module):
    """Reference boxes: every position of level l carries one per size of sizes[l] and ratio (height / width)."""

    def __init__(
        self, *, sizes: Sequence[Sequence[float]], aspect_ratios: Sequence[float], strides: Sequence[int], rounded: bool
    ):
        super().__init__()
        self.strides = tuple(strides)
        self.per_position = len(sizes[0]) * len(aspect_ratios)
        ratio = torch.tensor(aspect_ratios, dtype=torch.float32)
        for level, scales in enumerate(sizes):
            scale = torch.tensor(scales, dtype=torch.float32)
            heights = (ratio.sqrt()[:, None] * scale).flatten()
            widths = ((1 / ratio.sqrt())[:, None] * scale).flatten()
            base = torch.stack((-widths, -heights, widths, heights), dim=1) / 2
            # Faster R-CNN's and torchvision's anchors have whole coordinates, Detectron2's have not
            self.register_buffer(f"base{level}", base.round() if rounded else base, persistent=False)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """One [A_l, 4] per level, position-major (row, column, anchor)."""
        # deviates: torchvision divides image by map size, which is wrong for P6 of sides that 64 does not divide
        bases = [getattr(self, f"base{level}") for level in range(len(self.strides))]
        return [self._everywhere(*level) for level in zip(bases, maps, self.strides, strict=True)]

    def _everywhere(self, base: Tensor, feature: Tensor, stride: int) -> Tensor:
        height, width = feature.shape[-2:]
        y = torch.arange(height, device=base.device, dtype=base.dtype) * stride
        x = torch.arange(width, device=base.device, dtype=base.dtype) * stride
        y, x = torch.meshgrid(y, x, indexing="ij")
        shifts = torch.stack((x, y, x, y), dim=-1).reshape(-1, 1, 4)
        return (shifts + base).reshape(-1, 4)


class RPN(nn.Module):
    """Scores and moves anchors; gives the best as proposals.

    `depth`: number of 3x3 convolutions before the two outputs (the paper: 1).
    `score_thresh`: proposals below this objectness are dropped; null keeps all.
    `anchor_boundary_thresh`: anchors that reach further out of the image (pixels) are not trained; the paper: 0, FPN:
    null, which keeps all.
    `box_loss_weight`, `box_loss_normalizer`: lambda of equation 1, and N_reg: number of "samples" or of "positions".
    `ranking`, `regress_at_test`: ablations of table 2: rank by "score" or at "random"; false: proposals are anchors.
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
        if box_loss_normalizer not in NORMALIZERS or ranking not in RANKINGS:
            raise ValueError(
                f"RPN: box_loss_normalizer={box_loss_normalizer} is not one of {', '.join(NORMALIZERS)}, or "
                f"ranking={ranking} not one of {', '.join(RANKINGS)}"
            )
        self.convolution = nn.Conv2d(channels, channels, 3, padding=1)
        self.deeper = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(depth - 1))
        self.objectness = nn.Conv2d(channels, anchors.per_position, 1)
        self.deltas = nn.Conv2d(channels, 4 * anchors.per_position, 1)
        gaussian(0.01, self.convolution, *self.deeper, self.objectness, self.deltas)
        self.anchors, self.match = anchors, matcher
        self.batch_size_per_image, self.positive_fraction = batch_size_per_image, positive_fraction
        self.bbox_reg_weights, self.smooth_l1_beta = tuple(bbox_reg_weights), smooth_l1_beta
        self.pre_nms_top_n, self.post_nms_top_n = dict(pre_nms_top_n), dict(post_nms_top_n)
        self.nms_thresh, self.min_size = nms_thresh, min_size
        self.min_logit = None if score_thresh is None else math.log(score_thresh / (1 - score_thresh))  # as a logit
        self.anchor_boundary_thresh = anchor_boundary_thresh
        self.box_loss_weight, self.box_loss_normalizer = box_loss_weight, box_loss_normalizer
        self.ranking, self.regress_at_test = ranking, regress_at_test

    def losses(self, images: Images, features: list[Tensor], targets: Targets) -> tuple[Proposals, Losses]:
        """The proposals to train the detector on, and this network's own two losses."""
        anchors, scores, deltas = self._predict(features)
        proposals = self._select(images, anchors, scores, deltas, "train")
        flat = torch.cat(anchors), torch.cat(scores, 1), torch.cat(deltas, 1)
        losses = self._losses(images, *flat, targets)
        recall = measure_recall(proposals, targets)
        classes = losses["rpn_cls"]
        return proposals, losses | {"rpn_cls": classes._replace(diagnostics=(*recall, *classes.diagnostics))}

    def propose(self, images: Images, features: list[Tensor]) -> Proposals:
        """[B, N] proposals by falling score"""
        anchors, scores, deltas = self._predict(features)
        if self.ranking == "random":
            sizes = [level.shape[1] for level in scores]
            scores = list(uniform(images.rng_keys, RANK, sum(sizes)).split(sizes, 1))
        if not self.regress_at_test:
            deltas = [torch.zeros_like(level) for level in deltas]
        return self._select(images, anchors, scores, deltas, "test")

    def _predict(self, features: list[Tensor]) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Per level: anchors [A_l, 4], scores [B, A_l], deltas [B, A_l, 4]"""
        scores, deltas = [], []
        for x in features:
            hidden = F.relu(self.convolution(x))
            for deeper in self.deeper:
                hidden = F.relu(deeper(hidden))
            scores.append(self.objectness(hidden).permute(0, 2, 3, 1).flatten(1).float())
            deltas.append(self.deltas(hidden).permute(0, 2, 3, 1).reshape(len(x), -1, 4).float())
        return self.anchors(features), scores, deltas

    @torch.no_grad()
    def _select(
        self, images: Images, anchors: list[Tensor], scores: list[Tensor], deltas: list[Tensor], phase: str
    ) -> Proposals:
        """Top scores of each level, NMS within the level, top scores of the image."""
        slots = min(self.pre_nms_top_n[phase], max(level.shape[1] for level in scores))
        levels = [self._top(slots, *level) for level in zip(anchors, scores, deltas, strict=True)]
        boxes = box_ops.clip(torch.stack([boxes for boxes, _ in levels], 1), images.sizes)  # [B, L, slots, 4]
        ranked = torch.stack([ranked for _, ranked in levels], 1)  # [B, L, slots]
        valid = (ranked > -torch.inf) & box_ops.large(boxes, self.min_size)
        if self.min_logit is not None:
            valid = valid & (ranked >= self.min_logit)
        rows = valid.flatten(0, 1)
        keep = nms(boxes.flatten(0, 1), torch.zeros_like(rows, dtype=torch.int64), rows, self.nms_thresh).view_as(valid)
        kept = torch.where(keep, ranked, -torch.inf).flatten(1)
        best, index = kept.topk(min(self.post_nms_top_n[phase], kept.shape[1]))
        valid = best > -torch.inf
        chosen = torch.where(valid[..., None], box_ops.take(boxes.flatten(1, 2), index), 0.0)
        return Proposals(chosen, torch.where(valid, best, 0.0), valid)

    def _top(self, slots: int, anchors: Tensor, scores: Tensor, deltas: Tensor) -> tuple[Tensor, Tensor]:
        """The best `slots` of one level, decoded; a small level is filled up with -inf."""
        best, index = scores.topk(min(slots, scores.shape[1]))
        boxes = box_ops.decode(box_ops.take(deltas, index), anchors[index], self.bbox_reg_weights)
        missing = slots - best.shape[1]
        return F.pad(boxes, (0, 0, 0, missing)), F.pad(best, (0, missing), value=-torch.inf)

    def _losses(self, images: Images, anchors: Tensor, scores: Tensor, deltas: Tensor, targets: Targets) -> Losses:
        match = self._match(images, anchors, targets)
        chosen = subsample(
            match, count=self.batch_size_per_image, fraction=self.positive_fraction, rng_keys=images.rng_keys, salt=SALT
        )
        sampled, goal = chosen.valid.float(), chosen.foreground.float()
        gt = match.matched_idx.gather(1, chosen.slots)
        share = shares(targets, gt, chosen.foreground)
        logits = scores.gather(1, chosen.slots)
        score = F.binary_cross_entropy_with_logits(logits, goal, sampled * share, reduction="sum")
        truth = box_ops.take(targets.boxes, gt)
        wanted = box_ops.encode(truth, anchors[chosen.slots], self.bbox_reg_weights)
        wanted = torch.where(chosen.foreground[..., None], wanted, 0.0)
        move = F.smooth_l1_loss(box_ops.take(deltas, chosen.slots), wanted, beta=self.smooth_l1_beta, reduction="none")
        box = (move * (goal * share)[..., None]).sum() * self.box_loss_weight
        positions = sampled.new_full((), scores.numel() / self.anchors.per_position)
        terms = positions if self.box_loss_normalizer == "positions" else sampled.sum()
        counts = count_samples(chosen.foreground, chosen.valid)
        return {"rpn_cls": Loss(score, sampled.sum(), counts), "rpn_box": Loss(box, terms)}

    def _match(self, images: Images, anchors: Tensor, targets: Targets) -> Match:
        """Anchors out of bounds match nothing, not even an object that none overlaps more."""
        if self.anchor_boundary_thresh is None:
            return self.match(anchors[None], targets)
        reach = images.sizes.flip(-1)[:, None] + self.anchor_boundary_thresh  # [B, 1, 2] (width, height)
        inside = (anchors[:, :2] >= -self.anchor_boundary_thresh).all(-1) & (anchors[:, 2:] <= reach).all(-1)  # [B, A]
        match = self.match(torch.where(inside[..., None], anchors, 0.0), targets)
        return match._replace(background=match.background & inside)
