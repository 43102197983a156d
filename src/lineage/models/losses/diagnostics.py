"""Training diagnostics of proposals, classes and masks, as detectron2 and tensorpack log them.

Each is a sum and its normalizer, computed on the device from the tensors of a loss. The names: docs/diagnostics.md.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lineage.ops import boxes as box_ops
from lineage.structures import Diagnostic, Proposals, Targets

MIN_IOU = 0.5  # of a recalled object


@torch.no_grad()
def count_samples(positive: Tensor, valid: Tensor) -> tuple[Diagnostic, ...]:
    """Return the sampled positives and negatives per image, from two [B, N] bool."""
    images = torch.ones_like(valid[:, 0], dtype=torch.float32).sum()
    return (
        Diagnostic("num_positive", (positive & valid).sum(), images),
        Diagnostic("num_negative", (~positive & valid).sum(), images),
    )


@torch.no_grad()
def measure_recall(proposals: Proposals, targets: Targets) -> tuple[Diagnostic, ...]:
    """Return the share of objects, crowds excluded, that a kept proposal covers with an IoU of MIN_IOU or more."""
    is_object = targets.valid & ~targets.crowd
    iou = box_ops.iou(targets.boxes, proposals.boxes)  # [B, G, N]
    covered = ((iou >= MIN_IOU) & proposals.valid[:, None]).any(-1)
    return (Diagnostic("recall", (covered & is_object).sum(), is_object.sum()),)


@torch.no_grad()
def measure_classification(
    probabilities: Tensor, labels: Tensor, valid: Tensor, num_classes: int
) -> tuple[Diagnostic, ...]:
    """Return the accuracies of sampled proposals and their counts.

    probabilities  [B, N, C + 1] of the classes and background
    labels         [B, N] in 0..C, C is background
    valid          [B, N] bool
    """
    predicted = probabilities.argmax(-1)
    foreground = valid & (labels < num_classes)
    correct = predicted == labels
    return (
        Diagnostic("accuracy", (correct & valid).sum(), valid.sum()),
        Diagnostic("fg_accuracy", (correct & foreground).sum(), foreground.sum()),
        Diagnostic("false_negative", ((predicted == num_classes) & foreground).sum(), foreground.sum()),
        *count_samples(foreground, valid),
    )


@torch.no_grad()
def measure_masks(logits: Tensor, goal: Tensor, foreground: Tensor) -> tuple[Diagnostic, ...]:
    """Return the pixel accuracy and the shares of wrong pixels outside and inside of the true masks.

    logits      [B, N, M, M]; above 0 a pixel is predicted as part of the object
    goal        [B, N, M, M] the true mask in 0..1; 0.5 or more is part of the object
    foreground  [B, N] bool: proposals with a mask
    """
    counted = foreground[..., None, None].expand_as(logits)
    truth = (goal >= 0.5) & counted
    wrong = ((logits > 0) != (goal >= 0.5)) & counted
    inside, total = truth.sum(), counted.sum()
    return (
        Diagnostic("accuracy", total - wrong.sum(), total),
        Diagnostic("false_positive", (wrong & ~truth).sum(), total - inside),
        Diagnostic("false_negative", (wrong & truth).sum(), inside),
    )
