"""Training diagnostics of proposals, classes and masks, as detectron2 and tensorpack log them.

Each is a sum and its normalizer, computed on the device from the tensors of a loss. The names: docs/diagnostics.md.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lineage.ops import boxes as box_ops
from lineage.ops.layers.kernels import runs_kernels, runs_triton
from lineage.structures import Diagnostic, Proposals, Targets

MIN_IOU = 0.5  # of a recalled object


@torch.no_grad()
def count_samples(positive: Tensor, valid: Tensor) -> tuple[Diagnostic, ...]:
    """Return the sampled positives and negatives per image, from two [B, N] bool."""
    if runs_triton(valid):
        from lineage.ops.cuda import counts  # Triton loads only where there is a GPU

        return _name_samples(*counts.count_samples(positive, valid))
    images = torch.ones_like(valid[:, 0], dtype=torch.float32).sum()
    return (
        Diagnostic("num_positive", (positive & valid).sum(), images),
        Diagnostic("num_negative", (~positive & valid).sum(), images),
    )


def _name_samples(positive: Tensor, negative: Tensor, images: Tensor) -> tuple[Diagnostic, ...]:
    # integers all on CUDA, since tensors of one type are stacked in one kernel
    return Diagnostic("num_positive", positive, images), Diagnostic("num_negative", negative, images)


@torch.no_grad()
def measure_recall(proposals: Proposals, targets: Targets) -> tuple[Diagnostic, ...]:
    """Return the share of objects, crowds excluded, that a kept proposal covers with an IoU of MIN_IOU or more."""
    if runs_kernels(proposals.boxes) and proposals.boxes.dtype == targets.boxes.dtype == torch.float32:
        from lineage.ops.cuda import counts

        objects = targets.boxes, targets.valid, targets.crowd
        recalled, total = counts.count_objects(*objects, proposals.boxes, proposals.valid, MIN_IOU)
        return (Diagnostic("recall", recalled, total),)
    is_object = targets.valid & ~targets.crowd
    iou = box_ops.iou(targets.boxes, proposals.boxes)  # [B, G, N]
    covered = ((iou >= MIN_IOU) & proposals.valid[:, None]).any(-1)
    return (Diagnostic("recall", (covered & is_object).sum(), is_object.sum()),)


@torch.no_grad()
def measure_classification(scores: Tensor, labels: Tensor, valid: Tensor) -> tuple[Diagnostic, ...]:
    """Return the accuracies of sampled proposals and their counts.

    scores  [B, N, C + 1] of the classes and background: probabilities, or what orders the classes as they do
    labels  [B, N] in 0..C, C is background
    valid   [B, N] bool
    """
    num_classes = scores.shape[-1] - 1
    if runs_kernels(scores):
        from lineage.ops.cuda import counts

        right, total, fg_right, fg, missed, *samples = counts.count_classes(scores, labels, valid)
        return (
            Diagnostic("accuracy", right, total),
            Diagnostic("fg_accuracy", fg_right, fg),
            Diagnostic("false_negative", missed, fg),
            *_name_samples(fg, *samples),
        )
    predicted = scores.argmax(-1)
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
    if runs_kernels(logits) and logits.shape == goal.shape:
        from lineage.ops.cuda import counts

        right, total, *others = counts.count_pixels(logits, goal, foreground)
        false_positive, outside, false_negative, inside = others
        return (
            Diagnostic("accuracy", right, total),
            Diagnostic("false_positive", false_positive, outside),
            Diagnostic("false_negative", false_negative, inside),
        )
    counted = foreground[..., None, None].expand_as(logits)
    truth = (goal >= 0.5) & counted
    wrong = ((logits > 0) != (goal >= 0.5)) & counted
    inside, total = truth.sum(), counted.sum()
    return (
        Diagnostic("accuracy", total - wrong.sum(), total),
        Diagnostic("false_positive", (wrong & ~truth).sum(), total - inside),
        Diagnostic("false_negative", (wrong & truth).sum(), inside),
    )
