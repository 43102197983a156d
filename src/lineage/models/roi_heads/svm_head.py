"""A box head that is fitted anew after training: R-CNN (arXiv:1311.2524), sections 2.3 and 3.5, appendices B and C.

Training is that of the head inside: softmax over classes and background. Then each class gets a linear SVM on the
features of one layer and, in R-CNN, a ridge regression of the box on the features before the first fully connected one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import starmap
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lineage.models.roi_heads.box_head import BoxHead
from lineage.models.roi_heads.ridge import Ridge
from lineage.models.roi_heads.svm import Observed, SVMMining, SVMs
from lineage.ops import boxes as box_ops
from lineage.ops.matching import overlaps
from lineage.structures import Detections, Images, Loss, Losses, Proposals, SampledProposals, Targets


class Seen(NamedTuple):
    """A batch on its way to a fit: what the detector's earlier parts made of it."""

    features: list[Tensor]
    rois: Proposals
    targets: Targets


Rounds = Callable[[], Iterator[tuple[list[Tensor], Proposals, Targets]]]  # each call goes over the training images once


BOXES = ("ridge", "head", "proposals")


class SVMHead(nn.Module):
    """`layer` names the features of the SVMs: a layer of the body, or `pool` for what enters it.

    Boxes come (`box_source`) from a ridge regression, from the head as it was trained, or are the proposals themselves.
    """

    def __init__(
        self, head: BoxHead, *, layer: str, mining: SVMMining, box_source: str, ridge_lambda: float, min_overlap: float
    ):
        super().__init__()
        if box_source not in BOXES:
            raise ValueError(f"model.box.box_source={box_source} is unknown; choose one of {', '.join(BOXES)}")
        for name, part in head.named_children():  # under the same names, so that a trained head's weights fit
            self.add_module(name, part)
        self._head = (head,)  # in a tuple, which registers nothing
        self.num_classes, self.layer, self.mining, self.box_source, self.min_overlap = (
            head.num_classes,
            layer,
            mining,
            box_source,
            min_overlap,
        )
        pooled, wanted = self._widths()
        self.svms = SVMs(wanted, self.num_classes)
        self.ridge = Ridge(pooled, self.num_classes, penalty=ridge_lambda) if box_source == "ridge" else None

    def losses(
        self, features: list[Tensor], rois: SampledProposals, targets: Targets, images: Images
    ) -> tuple[list[SampledProposals], Losses]:
        regions, losses = self._head[0].losses(features, rois, targets, images)
        if self.box_source != "head":  # R-CNN fine-tunes as a classifier only
            losses["roi_box"] = Loss(0 * losses["roi_box"].sum, losses["roi_box"].normalizer)
        return regions, losses

    def detect(self, features: list[Tensor], rois: Proposals, images: Images) -> Detections:
        """Scores are the SVMs', through a sigmoid, which keeps their order and makes them positive"""
        head = self._head[0]
        pooled = head.pool(features, rois.boxes)
        scores = self.svms(self._hidden(pooled)).view(*rois.boxes.shape[:2], -1).sigmoid()
        background = 1 - scores.amax(-1, keepdim=True)
        codes, weights = self._codes(pooled)
        codes = codes.view(*rois.boxes.shape[:2], -1, 4)
        return head.select(torch.cat((scores, background), -1), codes, rois, weights, images.sizes)

    def _codes(self, pooled: Tensor) -> tuple[Tensor, Sequence[float]]:
        """[R, C, s, s] -> box codes [R, codes, 4] and the weights they are scaled by"""
        head = self._head[0]
        if self.ridge is not None:
            return self.ridge(pooled.flatten(1)), (1.0,) * 4
        if self.box_source == "head":
            return head.deltas(head.body(pooled)).float().view(
                len(pooled), head.num_bbox_reg_classes, 4
            ), head.bbox_reg_weights
        return pooled.new_zeros(len(pooled), 1, 4), (1.0,) * 4

    @torch.no_grad()
    def fit(self, rounds: Rounds) -> None:
        """SVMs, then boxes; three rounds over the training images. Slow on purpose: nothing is approximated."""
        self.svms.fit(lambda: map(self._observe, starmap(Seen, rounds())), self.mining)
        if self.ridge is not None:
            pairs = [self._pairs(seen) for seen in starmap(Seen, rounds())]
            pooled, codes, labels = (torch.cat(parts) for parts in zip(*pairs, strict=True))
            for label in labels.unique().tolist():
                self.ridge.fit(label, pooled[labels == label], codes[labels == label])

    def _observe(self, seen: Seen) -> Observed:
        """Proposals and objects of a batch: features, overlap with each class, and which are objects."""
        boxes, valid, objects = _with_objects(seen, self.num_classes)
        shared = box_ops.iou(boxes, seen.targets.boxes)  # [B, N, G]
        counted = (seen.targets.valid & ~seen.targets.crowd)[:, None]
        each = torch.where(counted, shared.nan_to_num(), 0.0)
        labels = seen.targets.labels[:, None].expand_as(each)
        by_class = each.new_zeros(*boxes.shape[:2], self.num_classes).scatter_reduce(2, labels, each, "amax")
        features = self._hidden(self._head[0].pool(seen.features, boxes))
        keep = valid.flatten()
        return Observed(features[keep], by_class.flatten(0, 1)[keep], objects.flatten()[keep])

    def _pairs(self, seen: Seen) -> tuple[Tensor, Tensor, Tensor]:
        """Proposals near an object: what enters the body [n, D], the code that would move it there, its class."""
        found = overlaps(seen.rois.boxes, seen.targets)
        near = seen.rois.valid & (found.iou > self.min_overlap)
        truth = box_ops.take(seen.targets.boxes, found.matched_idx)[near]
        codes = box_ops.encode(truth, seen.rois.boxes[near], (1.0,) * 4)
        pooled = self._head[0].pool(seen.features, seen.rois.boxes).flatten(1)[near.flatten()]
        return pooled.cpu(), codes.cpu(), seen.targets.labels.gather(1, found.matched_idx)[near].cpu()

    def _hidden(self, pooled: Tensor) -> Tensor:
        """[R, C, s, s] -> the features of `layer`, after its ReLU [R, D]"""
        hidden = pooled.flatten(1)
        if self.layer == "pool":
            return hidden
        layers = dict(self._head[0].body.named_children())
        for name in list(layers)[: list(layers).index(self.layer.replace("fc", "relu")) + 1]:
            hidden = layers[name](hidden)
        return hidden

    def _widths(self) -> tuple[int, int]:
        """Features that enter the body, and those of `layer`."""
        linear = {name: part for name, part in self._head[0].body.named_children() if isinstance(part, nn.Linear)}
        if self.layer != "pool" and self.layer not in linear:
            raise ValueError(f"model.box.layer={self.layer} is no layer of the head; choose pool, {', '.join(linear)}")
        pooled = next(iter(linear.values())).in_features
        return pooled, pooled if self.layer == "pool" else linear[self.layer].out_features


def _with_objects(seen: Seen, classes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Proposals, then the objects themselves: boxes [B, N + G, 4], valid, and the class of those that are objects."""
    counted = seen.targets.valid & ~seen.targets.crowd
    boxes = torch.cat((seen.rois.boxes, seen.targets.boxes), 1)
    nothing = torch.full_like(seen.rois.valid, classes, dtype=torch.int64)
    objects = torch.cat((nothing, torch.where(counted, seen.targets.labels, classes)), 1)
    return boxes, torch.cat((seen.rois.valid, counted), 1), objects


def build_svm_head(
    channels: int,
    *,
    layer: str,
    svm: SVMMining,
    box_source: str,
    ridge_lambda: float,
    min_overlap: float,
    **head: Any,
) -> SVMHead:
    """A box head of these settings, to be fitted anew after training."""
    return SVMHead(
        BoxHead(channels, **head),
        layer=layer,
        mining=svm,
        box_source=box_source,
        ridge_lambda=ridge_lambda,
        min_overlap=min_overlap,
    )
