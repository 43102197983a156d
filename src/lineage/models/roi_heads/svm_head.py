"""A box head with SVMs fitted after training: R-CNN (arXiv:1311.2524), sections 2.3 and 3.5, appendices B and C.

The head inside trains as usual: softmax over classes and background. Then each class gets a linear SVM on the features
of one layer and, in R-CNN, a ridge regression of the box on the features before the first fully connected layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import starmap
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lineage.models.roi_heads.box_head import BoxHead
from lineage.models.roi_heads.ridge import Ridge
from lineage.models.roi_heads.svm import RegionFeatures, SVMMining, SVMs
from lineage.ops import boxes as box_ops
from lineage.ops.matching import compute_overlaps
from lineage.structures import Detections, Images, Loss, Losses, Proposals, SampledProposals, Targets


class FitBatch(NamedTuple):
    """A batch for the fit: features, proposals and targets of some images."""

    features: list[Tensor]
    proposals: Proposals
    targets: Targets


Rounds = Callable[[], Iterator[tuple[list[Tensor], Proposals, Targets]]]  # each call goes over the training images once
BOX_SOURCES = ("ridge", "head", "proposals")


class SVMHead(nn.Module):
    """A trained box head whose scores come from SVMs.

    layer: features of the SVMs, a layer of the body or `pool`, its input.
    box_source: ridge regression, the head's own deltas, or the proposals unchanged.
    ridge_lambda: regularisation of the ridge regression.
    min_overlap: IoU of a proposal with an object above which it is an example of the ridge regression.
    State dicts have the head's tensors under the names of this module, so that weights of a BoxHead load.
    """

    def __init__(
        self, head: BoxHead, *, layer: str, mining: SVMMining, box_source: str, ridge_lambda: float, min_overlap: float
    ):
        super().__init__()
        if box_source not in BOX_SOURCES:
            raise ValueError(f"model.box.box_source={box_source} is unknown; choose one of {', '.join(BOX_SOURCES)}")
        self.head, self.num_classes = head, head.num_classes
        self.layer, self.mining = layer, mining
        self.box_source, self.min_overlap = box_source, min_overlap
        inputs, features = self._count_features()
        self.svms = SVMs(features, self.num_classes)
        self.ridge = Ridge(inputs, self.num_classes, penalty=ridge_lambda) if box_source == "ridge" else None
        self.register_state_dict_post_hook(_strip_head)
        self.register_load_state_dict_pre_hook(_insert_head)

    def losses(
        self, features: list[Tensor], sampled: SampledProposals, targets: Targets, images: Images
    ) -> tuple[list[SampledProposals], Losses]:
        """Return the losses of the head; R-CNN trains it as a classifier only."""
        sampled_by_stage, losses = self.head.losses(features, sampled, targets, images)
        if self.box_source != "head":
            losses["roi_box"] = Loss(0 * losses["roi_box"].sum, losses["roi_box"].normalizer)
        return sampled_by_stage, losses

    def detect(self, features: list[Tensor], proposals: Proposals, images: Images) -> Detections:
        """Return detections with the SVMs' scores, through a sigmoid: it keeps their order and makes them positive."""
        pooled = self.head.pool(features, proposals.boxes)
        scores = self.svms(self._features(pooled)).view(*proposals.boxes.shape[:2], -1).sigmoid()
        background = 1 - scores.amax(-1, keepdim=True)
        deltas, weights = self._predict_deltas(pooled)
        deltas = deltas.view(*proposals.boxes.shape[:2], -1, 4)
        return self.head.postprocess(torch.cat((scores, background), -1), deltas, proposals, weights, images.sizes)

    def _predict_deltas(self, pooled: Tensor) -> tuple[Tensor, Sequence[float]]:
        """[R, C, s, s] -> box deltas [R, classes or 1, 4] and the weights they are scaled by"""
        if self.ridge is not None:
            return self.ridge(pooled.flatten(1)), (1.0,) * 4
        if self.box_source == "head":
            deltas = self.head.deltas(self.head.body(pooled)).float()
            return deltas.view(len(pooled), self.head.num_bbox_reg_classes, 4), self.head.bbox_reg_weights
        return pooled.new_zeros(len(pooled), 1, 4), (1.0,) * 4

    @torch.no_grad()
    def fit(self, rounds: Rounds) -> None:
        """Fit SVMs, then boxes, in three rounds over the training images. Exact, and therefore slow."""
        self.svms.fit(lambda: map(self._region_features, starmap(FitBatch, rounds())), self.mining)
        if self.ridge is not None:
            examples = [self._regression_examples(batch) for batch in starmap(FitBatch, rounds())]
            pooled, deltas, labels = (torch.cat(column) for column in zip(*examples, strict=True))
            for label in labels.unique().tolist():
                self.ridge.fit(label, pooled[labels == label], deltas[labels == label])

    def _region_features(self, batch: FitBatch) -> RegionFeatures:
        """Return proposals and objects of a batch: features, overlap with each class, and which are objects."""
        boxes, valid, objects = _append_objects(batch, self.num_classes)
        iou = box_ops.iou(boxes, batch.targets.boxes)  # [B, N, G]
        counted = (batch.targets.valid & ~batch.targets.crowd)[:, None]
        iou = torch.where(counted, iou.nan_to_num(), 0.0)
        labels = batch.targets.labels[:, None].expand_as(iou)
        by_class = iou.new_zeros(*boxes.shape[:2], self.num_classes).scatter_reduce(2, labels, iou, "amax")
        features = self._features(self.head.pool(batch.features, boxes))
        keep = valid.flatten()
        return RegionFeatures(features[keep], by_class.flatten(0, 1)[keep], objects.flatten()[keep])

    def _regression_examples(self, batch: FitBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Return proposals near an object: input of the body [n, D], deltas to the object [n, 4], its class [n]."""
        overlaps = compute_overlaps(batch.proposals.boxes, batch.targets)
        near = batch.proposals.valid & (overlaps.iou > self.min_overlap)
        gt_boxes = box_ops.take(batch.targets.boxes, overlaps.matched_idx)[near]
        deltas = box_ops.encode(gt_boxes, batch.proposals.boxes[near], (1.0,) * 4)
        pooled = self.head.pool(batch.features, batch.proposals.boxes).flatten(1)[near.flatten()]
        return pooled.cpu(), deltas.cpu(), batch.targets.labels.gather(1, overlaps.matched_idx)[near].cpu()

    def _features(self, pooled: Tensor) -> Tensor:
        """[R, C, s, s] -> the features of `layer`, after its ReLU [R, D]"""
        hidden = pooled.flatten(1)
        if self.layer == "pool":
            return hidden
        layers = dict(self.head.body.named_children())
        for name in list(layers)[: list(layers).index(self.layer.replace("fc", "relu")) + 1]:
            hidden = layers[name](hidden)
        return hidden

    def _count_features(self) -> tuple[int, int]:
        """Return the number of inputs of the body, and of features of `layer`."""
        linear = {name: layer for name, layer in self.head.body.named_children() if isinstance(layer, nn.Linear)}
        if self.layer != "pool" and self.layer not in linear:
            raise ValueError(f"model.box.layer={self.layer} is no layer of the head; choose pool, {', '.join(linear)}")
        inputs = next(iter(linear.values())).in_features
        return inputs, inputs if self.layer == "pool" else linear[self.layer].out_features


def _strip_head(module: nn.Module, state: dict[str, Tensor], prefix: str, _metadata: Any) -> None:
    """Save `head.scores.weight` as `scores.weight`."""
    for name in [name for name in state if name.startswith(f"{prefix}head.")]:
        state[prefix + name.removeprefix(f"{prefix}head.")] = state.pop(name)


def _insert_head(module: SVMHead, state: dict[str, Tensor], prefix: str, *_rest: Any) -> None:
    """Load `scores.weight` into `head.scores.weight`."""
    for name, _ in module.head.named_children():
        for key in [key for key in state if key.startswith(f"{prefix}{name}.")]:
            state[f"{prefix}head.{key.removeprefix(prefix)}"] = state.pop(key)


def _append_objects(batch: FitBatch, num_classes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return proposals, then the objects themselves: boxes [B, N + G, 4], valid, and the class of the objects."""
    counted = batch.targets.valid & ~batch.targets.crowd
    boxes = torch.cat((batch.proposals.boxes, batch.targets.boxes), 1)
    background = torch.full_like(batch.proposals.valid, num_classes, dtype=torch.int64)
    objects = torch.cat((background, torch.where(counted, batch.targets.labels, num_classes)), 1)
    return boxes, torch.cat((batch.proposals.valid, counted), 1), objects


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
    """Build an SVMHead around a BoxHead with the keywords `head`."""
    return SVMHead(
        BoxHead(channels, **head),
        layer=layer,
        mining=svm,
        box_source=box_source,
        ridge_lambda=ridge_lambda,
        min_overlap=min_overlap,
    )
