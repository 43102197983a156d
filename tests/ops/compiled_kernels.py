"""Compile every Triton kernel for an NVIDIA GPU that need not be there: python -m tests.ops.compiled_kernels 90

Triton's compiler and ptxas, which ships with it, need no device. The kernels are launched by the functions that launch
them on a GPU, so with those types and constants; nothing runs. The argument is a compute capability (90: H100).
"""

from __future__ import annotations

import sys
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime.jit import JITFunction

from lineage.ops import boxes as box_ops
from lineage.ops import matching_cuda, nms_cuda, roi_align_cuda, roi_pool_cuda
from lineage.ops.cuda import (
    anchor_grid,
    box_deltas,
    box_loss,
    class_scores,
    counts,
    mask_crops,
    mask_loss,
    refinement,
    region_levels,
    sampling,
    softmax_loss,
    top_k,
    uniform,
)
from lineage.ops.layers import (
    class_masks_cuda,
    convolution_cuda,
    flat_linear_cuda,
    focal_cuda,
    joined_linear_cuda,
    level_canvas_cuda,
    prepared_weights_cuda,
    stem_cuda,
)
from lineage.ops.layers.filters import FrozenNorm
from lineage.structures import Masks, SampledProposals, Targets

LAST = torch.channels_last
SMALL = (uniform, box_deltas, mask_crops, region_levels, anchor_grid, counts, top_k, sampling)
LAYERS = (convolution_cuda, flat_linear_cuda, focal_cuda, level_canvas_cuda, prepared_weights_cuda, stem_cuda)
HEADS = (class_masks_cuda, joined_linear_cuda)
LOSSES = (class_scores, softmax_loss, box_loss, refinement, mask_loss)
MODULES = (matching_cuda, nms_cuda, roi_align_cuda, roi_pool_cuda, *LAYERS, *HEADS, *SMALL, *LOSSES)
launched: dict[str, Any] = {}  # kernel -> what was compiled last


class AbsentDevice:
    """Answers to what Triton asks its driver before it compiles."""

    def __init__(self, capability: int) -> None:
        self.target = GPUTarget("cuda", capability, 32)

    def get_current_target(self) -> GPUTarget:
        return self.target

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0


def compile_only(run: Any) -> Any:
    """Return JITFunction.run without the launch."""

    def compile_kernel(kernel: JITFunction, *args: Any, **kwargs: Any) -> Any:
        compiled = run(kernel, *args, **(kwargs | {"warmup": True}))
        launched[f"{kernel.fn.__module__}.{kernel.fn.__name__}"] = compiled
        return compiled

    return compile_kernel


def launch_boxes() -> None:
    boxes, valid = torch.rand(2, 100, 4), torch.ones(2, 100, dtype=torch.bool)
    targets = Targets(boxes, valid.long(), valid, ~valid, None, None)
    for regions in (torch.rand(2, 500, 4), torch.rand(1, 500, 4)):
        for best in (False, True):
            matching_cuda.match(regions, targets, (0.5, 0.0, 0.5, 0.7), best_is_foreground=best)
    matching_cuda.label(boxes, valid, targets, (0.5, 0.0, 0.5, 0.7), background=80, min_size=1e-3)
    for slots in (100, 1000):
        nms_cuda.suppress(torch.rand(2, slots, 4), torch.zeros(2, slots).long(), torch.ones(2, slots).bool(), 0.5)


def launch_small_operations() -> None:
    uniform.uniform(torch.zeros(2, dtype=torch.int64), 1, 1000)
    boxes, sizes, weights = torch.rand(2, 100, 4), torch.rand(2, 2), (10.0, 10.0, 5.0, 5.0)
    box_deltas.encode(boxes, boxes, weights)
    for limits in (None, sizes):
        box_deltas.decode(boxes, boxes, weights, box_ops.MAX_LOG_RATIO, limits)
    box_deltas.clip(boxes, sizes)
    box_deltas.has_min_size(boxes, 1e-3)
    windows, matched_idx = torch.ones(2, 9, 4, dtype=torch.int64), torch.zeros(2, 100, dtype=torch.int64)
    bitmaps = Masks(torch.zeros(18, dtype=torch.uint8), windows[..., 0], windows)
    for aligned in (False, True):
        mask_crops.crop_and_resize(bitmaps, boxes, matched_idx, sizes, 28, 4, aligned)
    region_levels.scale(boxes, torch.ones(4), 2, 224, 4)
    anchor_grid.repeat(boxes[0, :3], 20, 30, 4)
    valid = matched_idx.bool()
    counts.count_samples(valid, valid)
    counts.count_classes(torch.zeros(2, 100, 81), matched_idx, valid)
    counts.count_objects(boxes, valid, valid, boxes, valid, 0.5)
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        masks, goal = torch.zeros(2, 100, 28, 28, dtype=dtype), torch.zeros(2, 100, 28, 28)
        counts.count_pixels(masks, goal, valid)
        losses = mask_loss.sum_entropy(masks[0], goal[0])
        mask_loss.sum_entropy_backward(masks[0], goal[0], losses)


def launch_box_losses() -> None:
    labels, boxes = torch.zeros(2, 100, dtype=torch.long), torch.rand(2, 100, 4)
    for classes in (2, 81, 1204):
        places = torch.zeros(200, classes), labels.flatten(), labels.flatten().bool()
        losses = softmax_loss.cross_entropy(*places)
        softmax_loss.cross_entropy_backward(*places, losses)
        deltas = torch.zeros(2, 100, classes - 1, 4)
        sampled = SampledProposals(boxes, labels.bool(), labels, labels)
        losses, slopes = box_loss.smooth_l1(deltas, sampled, boxes, 80, (10.0, 10.0, 5.0, 5.0), 1.0)
        box_loss.smooth_l1_backward(slopes, labels, losses[:1].expand(200), classes - 1)
        logits = torch.zeros(2, 100, classes)
        refinement.refine(logits, deltas, boxes, (10.0, 10.0, 5.0, 5.0), box_ops.MAX_LOG_RATIO, torch.rand(2, 2))


def launch_ranking() -> None:
    for sizes in ((20000, 5000, 70), (300,)):
        _, index = top_k.top_k(torch.rand(2, sum(sizes)), sizes, 100)
    box_deltas.decode_at(torch.rand(2, 300, 4), torch.rand(300, 4), index, (1.0,) * 4, 4.0, torch.rand(2, 2))
    for regions in (300, 20000):
        flags = torch.zeros(2, regions, dtype=torch.bool)
        sampling.subsample(flags, flags, torch.zeros(2, dtype=torch.int64), 1, 256, 128)


def launch_focal(dtype: torch.dtype) -> None:
    logits, labels = torch.zeros(200, 80, dtype=dtype), torch.zeros(200, dtype=torch.long)
    losses = focal_cuda.focal(logits, labels, 0.25, 2.0)
    focal_cuda.focal_backward(logits, labels, losses, None, 0.0)


def launch_pooling(dtype: torch.dtype) -> None:
    sides = ((100, 168), (50, 84), (25, 42), (13, 21))
    maps = [torch.zeros(2, 256, *side, dtype=dtype).to(memory_format=LAST) for side in sides]
    rois, level = torch.rand(8, 5), torch.zeros(8, dtype=torch.long)
    flat = [length for side in sides for length in side]
    for size, ratio in ((7, 2), (14, 0)):
        bins = roi_align_cuda.align(maps, rois, level, size, ratio, True)
        roi_align_cuda.align_backward(bins, rois, level, 2, flat, ratio, True)
        sums, touched = torch.zeros(99, 256), torch.zeros(99, dtype=torch.uint8)
        roi_align_cuda.add_gradient(sums, bins, rois, level, 2, flat, ratio, True, 0.5, touched)
        bins, pixel = roi_pool_cuda.pool(maps, rois, level, size)
        roi_pool_cuda.pool_backward(bins, pixel, 2 * sum(height * width for height, width in sides))


def launch_layers(dtype: torch.dtype) -> None:
    y = torch.zeros(2, 256, 50, 84, dtype=dtype).to(memory_format=LAST)
    coarse = torch.zeros(2, 256, 25, 42, dtype=dtype).to(memory_format=LAST)
    for bias in (None, torch.zeros(256)):
        for relu in (True, False):
            for shortcut in (None, y):
                out = convolution_cuda.finish(y, bias, shortcut, relu)
            convolution_cuda.finish_backward(y, out if relu else None, needs_bias=bias is not None)
        convolution_cuda.enlarge_and_add(y, bias, coarse)
    for others in ([y], [y, y]):
        convolution_cuda.finish_backward(y, y, needs_bias=False, others=others)
    for touched in (None, torch.zeros(8400, dtype=torch.uint8)):
        convolution_cuda.add(y.float(), y, touched)
    convolution_cuda.sum_quads(y)
    convolution_cuda.fold_norm(torch.zeros(256, 64, 3, 3), FrozenNorm(*torch.ones(4, 256), 1e-5), dtype)
    launch_casts(dtype)
    sides, outputs = [(50, 60), (25, 23), (13, 12)], torch.zeros(2, 3731, 256, dtype=dtype)
    level_canvas_cuda.clear_gaps(y, sides)
    level_canvas_cuda.pack(y, [coarse] * 3, sides)
    level_canvas_cuda.join(y, sides, torch.zeros(256, dtype=dtype), outputs, 0)
    level_canvas_cuda.part(y, sides, outputs, 0)
    for other in (torch.float32, dtype):
        flat_linear_cuda.transpose(torch.zeros(100, 256, 49, dtype=dtype), other)
    pixels, sizes = torch.zeros(2, 3, 64, 96, dtype=torch.uint8), torch.tensor([[64.0, 96.0]] * 2)
    stem_cuda.pack_blocks(pixels, sizes, torch.zeros(3), torch.ones(3), dtype)
    stem_cuda.pool(torch.zeros(2, 256, 16, 24, dtype=dtype).to(memory_format=LAST), torch.zeros(64, dtype=dtype))


def launch_heads(dtype: torch.dtype) -> None:
    y, filters = torch.zeros(3, 256, 28, 28, dtype=dtype).to(memory_format=LAST), torch.zeros(3, 256, dtype=dtype)
    masks = class_masks_cuda.apply_filters(y, torch.zeros(256), filters)
    class_masks_cuda.apply_filters_backward(masks, y, torch.zeros(256), filters)
    weight = joined_linear_cuda.join(torch.zeros(81, 1024), torch.zeros(4, 1024), 88, dtype)
    for joined in (weight, torch.zeros(2048, 88, dtype=dtype).t()):
        joined_linear_cuda.part(joined, (81, 4))


def launch_casts(dtype: torch.dtype) -> None:
    weights = [torch.zeros(256, 64, 3, 3), torch.zeros(256, 64), torch.zeros(81)]
    norms = [FrozenNorm(*torch.ones(4, 256), 1e-5), None, None]
    targets = [torch.zeros_like(weight, dtype=dtype) for weight in weights]
    shifts = [torch.zeros(256, dtype=dtype), None, None]
    casts = prepared_weights_cuda.Casts(weights)
    casts.plan([*map(prepared_weights_cuda.Cast, weights, targets, norms, shifts)])
    casts.launch()
    casts.plan([*map(prepared_weights_cuda.Cast, targets, weights, norms, [None] * 3)])
    casts.launch()


def find_kernels() -> set[str]:
    """Return the kernels that are launched: by convention those that no other kernel calls."""
    kernels = {
        f"{module.__name__}.{name}": kernel.fn.__code__.co_names
        for module in MODULES
        for name, kernel in vars(module).items()
        if isinstance(kernel, JITFunction)
    }
    called = {name for names in kernels.values() for name in names}
    return {kernel for kernel in kernels if kernel.rpartition(".")[2] not in called}


def main(capability: int) -> None:
    triton.runtime.driver.set_active(AbsentDevice(capability))
    JITFunction.run = compile_only(JITFunction.run)
    launch_boxes()
    launch_small_operations()
    launch_box_losses()
    launch_ranking()
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        launch_pooling(dtype)
        launch_layers(dtype)
        launch_focal(dtype)
        launch_heads(dtype)
    assert set(launched) == find_kernels(), set(launched) ^ find_kernels()
    assert all(compiled.asm["cubin"] for compiled in launched.values())
    print(f"{len(launched)} kernels compiled for sm_{capability}")


if __name__ == "__main__":
    main(int(sys.argv[1]))
