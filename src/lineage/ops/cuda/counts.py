"""The CUDA kernels of models/losses/diagnostics.py: all counts of a diagnostic in one pass.

A program counts its part; torch adds the parts up. Integers, so that no order matters.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from lineage.ops.cuda.box_deltas import read_boxes
from lineage.ops.cuda.class_scores import block_shape, likeliest, read_scores
from lineage.ops.layers.kernels import EXACT

BLOCK = 1024  # slots per program
PIXELS = 4096  # pixels of masks per program
NUMBERS = ("total", "images", "area", "objects", "regions", "min_iou")  # that no kernel is compiled anew for


@triton.jit
def _put(counts, row, flags):  # type: ignore[no-untyped-def]
    """Write the number of flags into this program's column of `row`."""
    place = row * tl.num_programs(0) + tl.program_id(0)
    tl.store(counts + place, tl.sum(flags.to(tl.int32), 0))


@triton.jit
def _put_number(counts, row, number):  # type: ignore[no-untyped-def]
    """Write a number as the sum of `row`."""
    place = row * tl.num_programs(0) + tl.program_id(0)
    tl.store(counts + place, tl.where(tl.program_id(0) == 0, number, 0))


@triton.jit(do_not_specialize=NUMBERS)
def _samples(positive, valid, counts, total, images, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    index = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    is_positive = tl.load(positive + index, mask=index < total, other=0) != 0
    is_valid = tl.load(valid + index, mask=index < total, other=0) != 0
    _put(counts, 0, is_positive & is_valid)
    _put(counts, 1, (is_positive == 0) & is_valid)
    _put_number(counts, 2, images)


@triton.jit(do_not_specialize=NUMBERS)
def _classes(scores, labels, valid, counts, total, images, CLASSES: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip  # noqa: E501
    row, column, _, x = read_scores(scores, total, CLASSES, ROWS, COLUMNS)
    prediction = likeliest(x, column, CLASSES)
    is_valid = tl.load(valid + row, mask=row < total, other=0) != 0
    label = tl.load(labels + row, mask=row < total, other=0)
    background = CLASSES - 1
    foreground = is_valid & (label < background)
    _put(counts, 0, (prediction == label) & is_valid)
    _put(counts, 1, is_valid)
    _put(counts, 2, (prediction == label) & foreground)
    _put(counts, 3, foreground)
    _put(counts, 4, (prediction == background) & foreground)
    _put(counts, 5, is_valid & (label >= background))
    _put_number(counts, 6, images)


@triton.jit(do_not_specialize=NUMBERS)
def _pixels(logits, goal, foreground, counts, total, area, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    index = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    counted = tl.load(foreground + index // area, mask=index < total, other=0) != 0
    predicted = tl.load(logits + index, mask=counted, other=0.0).to(tl.float32) > 0
    truth = tl.load(goal + index, mask=counted, other=0.0) >= 0.5
    wrong = predicted != truth
    _put(counts, 0, (predicted == truth) & counted)
    _put(counts, 1, counted)
    _put(counts, 2, wrong & (truth == 0) & counted)
    _put(counts, 3, (truth == 0) & counted)
    _put(counts, 4, wrong & truth & counted)
    _put(counts, 5, truth & counted)


@triton.jit(do_not_specialize=NUMBERS)
def _objects(boxes, valid, crowd, proposals, proposed, counts, objects, regions, min_iou, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip
    row = tl.program_id(0).to(tl.int64)  # a program per object
    proposals += row // objects * regions * 4
    proposed += row // objects * regions
    is_object = (tl.load(valid + row) != 0) & (tl.load(crowd + row) == 0)
    x1, y1, x2, y2 = read_boxes(boxes, row, is_object)
    covers = tl.zeros([BLOCK], tl.int32)
    for start in range(0, tl.where(is_object, regions, 0), BLOCK):
        index = start + tl.arange(0, BLOCK)
        inside = index < regions
        px1, py1, px2, py2 = read_boxes(proposals, index, inside)
        width, height = tl.minimum(x2, px2) - tl.maximum(x1, px1), tl.minimum(y2, py2) - tl.maximum(y1, py1)
        shared = tl.maximum(width, 0.0) * tl.maximum(height, 0.0)
        iou = tl.div_rn(shared, (x2 - x1) * (y2 - y1) + (px2 - px1) * (py2 - py1) - shared)
        covers |= ((iou >= min_iou) & (tl.load(proposed + index, mask=inside, other=0) != 0)).to(tl.int32)
    tl.store(counts + row, tl.max(covers, 0))
    tl.store(counts + tl.num_programs(0) + row, is_object.to(tl.int32))


def count_samples(positive: Tensor, valid: Tensor) -> Tensor:
    """Return [3] int64: the positives and the negatives that are valid, [B, N] bool, and the number of images."""
    return _launch(_samples, (positive, valid), 3, valid.numel(), len(valid))


def count_classes(scores: Tensor, labels: Tensor, valid: Tensor) -> Tensor:
    """Return [7] int64 of scores [B, N, C + 1], which order the classes; labels and valid [B, N].

    They are: right, valid, right foreground, foreground, foreground predicted as background, valid background, images.
    """
    block = block_shape(scores.shape[-1])
    programs = triton.cdiv(valid.numel(), block["ROWS"])
    return _launch(_classes, (scores, labels, valid), 7, valid.numel(), len(valid), programs=programs, block=block)


def count_pixels(logits: Tensor, goal: Tensor, foreground: Tensor) -> Tensor:
    """Return [6] int64 of masks [B, N, M, M], foreground [B, N].

    They are: right pixels of all, wrong ones of those outside, wrong ones of those inside of the true masks.
    """
    area = logits.shape[-1] * logits.shape[-2]
    return _launch(_pixels, (logits, goal, foreground), 6, logits.numel(), area, block={"BLOCK": PIXELS})


def count_objects(
    boxes: Tensor, valid: Tensor, crowd: Tensor, proposals: Tensor, proposed: Tensor, min_iou: float
) -> Tensor:
    """Return [2] int64: the objects that a valid proposal covers with an IoU of `min_iou` or more, and all of them.

    boxes [B, G, 4]; valid and crowd [B, G] bool; proposals [B, N, 4]; proposed [B, N] bool: which of them are valid.
    """
    shape = valid.shape[1], proposed.shape[1], min_iou
    return _launch(_objects, (boxes, valid, crowd, proposals, proposed), 2, *shape, programs=valid.numel())


def _launch(
    kernel: Any,
    inputs: tuple[Tensor, ...],
    rows: int,
    *numbers: float,
    programs: int | None = None,
    block: dict[str, int] | None = None,
) -> Tensor:
    """Run a kernel that writes `rows` counts of each program, and return their sums [rows]; numbers[0]: of places."""
    block = block or {"BLOCK": BLOCK}
    programs = triton.cdiv(int(numbers[0]), block["BLOCK"]) if programs is None else programs
    # of the type of the sums, which then need no conversion
    counts = torch.empty(rows, programs, dtype=torch.int64, device=inputs[0].device)
    with torch.cuda.device_of(counts):
        kernel[(programs,)](*(x.contiguous() for x in inputs), counts, *numbers, **block, **EXACT)
    return counts.sum(1)
