"""Soft-NMS and box voting against their definitions, written as loops."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision.ops import box_iou, nms

from lineage.models.roi_heads.nms_variants import BoxVoting, GreedyNMS, SoftNMS
from lineage.ops.box_voting import vote
from lineage.ops.soft_nms import soft_nms


def candidates(images: int = 2, count: int = 40) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    low = torch.rand(images, count, 2, generator=generator) * 30
    boxes = torch.cat((low, low + 8 + torch.rand(images, count, 2, generator=generator) * 20), -1)
    scores = torch.rand(images, count, generator=generator).sort(descending=True).values
    labels = torch.randint(0, 3, (images, count), generator=generator)
    return boxes, scores, labels, torch.rand(images, count, generator=generator) < 0.9


def one_class(boxes: Tensor, scores: Tensor, threshold: float, sigma: float | None) -> Tensor:
    """The algorithm of the paper's figure 2 on one class."""
    left, final = scores.clone(), torch.full_like(scores, -1.0)
    remaining = set(range(len(scores)))
    while remaining:
        top = max(remaining, key=lambda i: float(left[i]))
        final[top] = left[top]
        remaining.remove(top)
        for i in remaining:
            iou = box_iou(boxes[top : top + 1], boxes[i : i + 1])[0, 0]
            left[i] *= torch.exp(-(iou**2) / sigma) if sigma else (1 - iou if iou > threshold else 1.0)
    return final


@pytest.mark.parametrize("sigma", [None, 0.5])
def test_scores_are_those_of_the_paper_class_by_class(sigma: float | None) -> None:
    boxes, scores, labels, valid = candidates()
    found = soft_nms(boxes, scores, labels, valid, rounds=40, threshold=0.3, sigma=sigma)
    for image in range(2):
        for label in range(3):
            mine = valid[image] & (labels[image] == label)
            expected = one_class(boxes[image, mine], scores[image, mine], 0.3, sigma)
            torch.testing.assert_close(found[image, mine], expected)
    assert (found[~valid] == -1).all()


def test_a_few_rounds_give_the_best_of_all() -> None:
    given = candidates()
    everything = soft_nms(*given, rounds=40, threshold=0.3, sigma=0.5)
    few = soft_nms(*given, rounds=7, threshold=0.3, sigma=0.5)
    assert ((few >= 0).sum(1) == 7).all()
    torch.testing.assert_close(few.topk(7).values, everything.topk(7).values)


def test_more_rounds_than_boxes_lose_none() -> None:
    boxes, scores, labels, valid = candidates(1, 3)
    found = soft_nms(boxes, scores, labels, valid & (torch.arange(3) < 2), rounds=10, threshold=0.5, sigma=None)
    assert (found >= 0).sum() == (valid[:, :2]).sum()


def test_nothing_and_boxes_without_size_stay_finite() -> None:
    boxes, scores, labels, valid = candidates()
    assert (soft_nms(boxes, scores, labels, valid & False, rounds=5, threshold=0.5, sigma=0.5) == -1).all()
    found = soft_nms(boxes * 0, scores, labels, valid, rounds=5, threshold=0.5, sigma=0.5)
    assert found.isfinite().all()


def test_a_box_at_the_threshold_votes() -> None:
    """An IoU of exactly one half: half of the box."""
    detections, boxes = torch.tensor([[[0.0, 0, 4, 4]]]), torch.tensor([[[0.0, 0, 4, 4], [0, 0, 2, 4]]])
    labels = torch.zeros(1, 2, dtype=torch.long)
    valid = torch.ones(1, 2, dtype=torch.bool)
    voted = vote(detections, labels[:, :1], boxes, torch.ones(1, 2), labels, valid, threshold=0.5)
    assert voted.tolist() == [[[0.0, 0.0, 3.0, 4.0]]]


def test_votes_are_the_weighted_mean_of_close_rivals() -> None:
    boxes, scores, labels, valid = candidates()
    voted = vote(boxes[:, :5], labels[:, :5], boxes, scores, labels, valid, threshold=0.4)
    for image in range(2):
        for slot in range(5):
            near = box_iou(boxes[image, slot : slot + 1], boxes[image])[0] >= 0.4
            near = near & (labels[image] == labels[image, slot]) & valid[image]
            if near.any():
                weight = scores[image, near, None]
                expected = (boxes[image, near] * weight).sum(0) / weight.sum()
            else:
                expected = boxes[image, slot]
            torch.testing.assert_close(voted[image, slot], expected)


def test_suppressions_agree_where_they_must() -> None:
    boxes, scores, labels, valid = candidates()
    same, greedy = GreedyNMS(class_agnostic=True)(boxes, scores, labels, valid, 0.5, 40)
    assert same is boxes
    for image in range(2):
        slots = valid[image].nonzero()[:, 0]
        kept = slots[nms(boxes[image, slots], scores[image, slots], 0.5)]
        assert set((greedy[image] >= 0).nonzero()[:, 0].tolist()) == set(kept.tolist())
    _, by_class = GreedyNMS(class_agnostic=False)(boxes, scores, labels, valid, 0.5, 40)
    assert (by_class >= 0).sum() > (greedy >= 0).sum()
    _, soft = SoftNMS(sigma=None, min_score=0.2, class_agnostic=False)(boxes, scores, labels, valid, 1.0, 40)
    torch.testing.assert_close(soft, torch.where(valid & (scores >= 0.2), scores, -1.0))  # no overlap exceeds 1
    moved, kept = BoxVoting(inner=GreedyNMS(class_agnostic=False), vote_thresh=1.0)(
        boxes, scores, labels, valid, 0.5, 10
    )
    torch.testing.assert_close(moved, boxes, atol=1e-4, rtol=1e-4)  # each hears itself alone
    assert torch.equal(kept, by_class)
