"""A detector as a program of fixed shapes: pixels in, padded slots out, nothing of Python left.

Because every step of `detect` keeps its shapes, the whole of it can be captured: normalisation, proposals, NMS, heads.
One operator is ours, `lineage::nms`. A program that has to run where this package is not needs another one:
`flags` here is its pure-torch equal, `nms_onnx` in onnx_file.py its ONNX equal.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch._higher_order_ops.while_loop import while_loop

from lineage.ops import boxes as box_ops
from lineage.structures import Detections, Images, Proposals

OUTPUTS = ("boxes", "scores", "labels", "valid", "masks", "keypoints", "semantic")
WHOLE = ("valid", "semantic")  # as they are; the rest has slots that may be empty
INPUTS = ("pixels", "sizes", "proposals")  # the last where a model takes regions that were made before


class ExportError(ValueError):
    """A model that cannot be exported, or whose file computes something else."""


class Detector(nn.Module):
    """(pixels [B, 3, H, W] uint8 RGB, sizes [B, 2] float32 height and width of the content) -> tuple of `fields`.

    Some models also take proposals [B, N, 4] float32 in canvas pixels, best first; a slot without a size is empty.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor, sizes: Tensor, proposals: Tensor | None = None) -> tuple[Tensor, ...]:
        found = self.model.detect(seen(pixels, sizes, proposals))
        return tuple(value if name in WHOLE else _blank(value, found.valid) for name, value in fields(found))


def seen(pixels: Tensor, sizes: Tensor, proposals: Tensor | None = None) -> Images:
    """What goes into a program, as a model takes it."""
    keys = sizes.new_zeros(sizes.shape[0], dtype=torch.int64)
    if proposals is None:
        return Images(pixels, sizes, keys)
    rank = torch.arange(proposals.shape[1], 0, -1, device=proposals.device).expand(proposals.shape[:2])
    return Images(pixels, sizes, keys, Proposals(proposals, rank.float(), box_ops.area(proposals) > 0))


def named(inputs: Sequence[Tensor]) -> dict[str, Tensor]:
    """What goes into a program, by name."""
    return dict(zip(INPUTS[: len(inputs)], inputs, strict=True))


def _blank(value: Tensor, valid: Tensor) -> Tensor:
    """Slots without an object are zero, so that equal programs give equal arrays."""
    return torch.where(valid.view(*valid.shape, *[1] * (value.dim() - 2)), value, torch.zeros_like(value))


def fields(found: Detections) -> list[tuple[str, Tensor]]:
    """What the model gives, by name, in the order of a program's outputs."""
    named = [(name, getattr(found, name, None)) for name in OUTPUTS]
    return [(name, value) for name, value in named if value is not None]


def flags(boxes: Tensor, groups: Tensor, valid: Tensor, threshold: float) -> Tensor:
    """`lineage::nms` in torch alone: boxes [R, K, 4] by falling score, groups [R, K], valid [R, K] -> [R, K] bool.

    A box stays if no better one that stays suppresses it. Starting from all, this is asked again until the answer is
    the same: then it is the greedy one, for the first k boxes are settled after k rounds, in practice after a few.
    """
    apart = groups[:, :, None] != groups[:, None, :]
    place = torch.arange(boxes.shape[1], device=boxes.device)
    better = place[:, None] < place[None, :]
    iou = box_ops.iou(boxes, boxes).nan_to_num()
    suppresses = ((iou > threshold) & ~apart & better).float()  # [R, better, worse]

    def changed(kept: Tensor, before: Tensor, suppresses: Tensor, valid: Tensor) -> Tensor:
        return (kept != before).any()

    def again(kept: Tensor, before: Tensor, suppresses: Tensor, valid: Tensor) -> tuple[Tensor, ...]:
        beaten = (kept.float()[:, None, :] @ suppresses)[:, 0] > 0
        return valid & ~beaten, kept.clone(), suppresses.clone(), valid.clone()

    start = valid & ~((valid.float()[:, None, :] @ suppresses)[:, 0] > 0)
    return while_loop(changed, again, (start, valid.clone(), suppresses, valid.clone()))[0]


@contextmanager
def without_own_operators() -> Iterator[None]:
    """Models call `flags` in place of `lineage::nms`."""
    import lineage.ops.nms as module

    users = [user for user in _loaded("lineage.models") if getattr(user, "nms", None) is module.nms]
    try:
        for user in users:
            user.nms = flags  # type: ignore[attr-defined]
        yield
    finally:
        for user in users:
            user.nms = module.nms  # type: ignore[attr-defined]


def _loaded(package: str) -> list[object]:
    return [module for name, module in list(sys.modules.items()) if name.startswith(f"{package}.")]
