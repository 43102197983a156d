"""Checks of the Triton kernels of RoIAlign and RoIPool, run by Triton's interpreter: TRITON_INTERPRET=1 python -m ...

The oracle is torchvision, called level by level. Maps are odd in size, regions lie inside, across every border, wholly
outside, are of no size or turned around.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torchvision
from torch import Tensor

from lineage.ops.fused_roi import align, pool, roi_align_levels, roi_pool_levels

SIDES = ((13, 17), (7, 9), (4, 5))
BOXES = (
    (1.3, 2.2, 9.1, 11.7), (-4.0, -3.0, 6.5, 2.5), (0.0, 0.0, 17.0, 13.0), (-30.0, -30.0, -20.0, -20.0),
    (3.0, 3.0, 3.0, 3.0), (9.0, 8.0, 2.0, 1.0), (16.5, 12.5, 18.0, 14.0), (0.0, 0.0, 0.0, 0.0), (0.4, 0.5, 4.6, 3.5),
)  # fmt: skip


def scene(dtype: torch.dtype = torch.float32, channels: int = 5) -> tuple[list[Tensor], Tensor, Tensor]:
    """Return maps of three levels, regions [R, 5] and their levels [R]."""
    generator = torch.Generator().manual_seed(0)
    maps = [torch.randn(2, channels, h, w, generator=generator).to(dtype).requires_grad_() for h, w in SIDES]
    rois = torch.tensor([(index % 2, *box) for index, box in enumerate(BOXES)])
    return maps, rois, torch.tensor([0, 1, 0, 1, 2, 0, 0, 2, 1])


def by_level(maps: list[Tensor], rois: Tensor, level: Tensor, layer: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Return a layer's bins of each region, [R, C, size, size], one call per level."""
    places = [(level == index).nonzero()[:, 0] for index in range(len(maps))]
    bins = torch.cat([layer(level_map, rois[place]) for level_map, place in zip(maps, places, strict=True)])
    return bins[torch.cat(places).argsort()]


def compare(maps: list[Tensor], actual: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    """Compare bins, and the gradients of a random linear function of them."""
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=tolerance)
    weight = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1)).to(expected.dtype)
    gradients = [torch.autograd.grad((bins * weight).sum(), maps) for bins in (actual, expected)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=tolerance, rtol=tolerance)


def check_align() -> None:
    for size, ratio, aligned in ((3, 2, True), (2, 1, False), (2, 0, True)):
        maps, rois, level = scene()
        expected = by_level(
            maps,
            rois,
            level,
            lambda m, r: torchvision.ops.roi_align(m, r, size, 1.0, ratio, aligned),  # noqa: B023
        )
        compare(maps, roi_align_levels(maps, rois, level, size, ratio, aligned), expected)
        alone = torchvision.ops.roi_align(maps[0], rois, size, 1.0, ratio, aligned)  # one map, and no levels
        compare(maps[:1], roi_align_levels(maps[:1], rois, None, size, ratio, aligned), alone)


def check_pool() -> None:
    maps, rois, level = scene()
    expected = by_level(maps, rois, level, lambda m, r: torchvision.ops.roi_pool(m, r, 3, 1.0))
    compare(maps, roi_pool_levels(maps, rois, level, 3), expected)
    compare(maps[:1], roi_pool_levels(maps[:1], rois, None, 3), torchvision.ops.roi_pool(maps[0], rois, 3, 1.0))


def check_types() -> None:
    """Half precision is summed in single and rounded once (the interpreter truncates); memory formats are alike."""
    maps, rois, level = scene(torch.bfloat16, channels=2)
    rois, level = rois[:4], level[:4]
    single = [level_map.detach().float().requires_grad_() for level_map in maps]
    last = [level_map.to(memory_format=torch.channels_last) for level_map in maps]
    bins = roi_align_levels(last, rois, level, 2, 1, True)
    exact = roi_align_levels(single, rois, level, 2, 1, True)
    torch.testing.assert_close(bins, exact.bfloat16(), atol=1e-4, rtol=0.008)
    (gradient,) = torch.autograd.grad(bins.float().sum(), maps[:1])
    (expected,) = torch.autograd.grad(exact.sum(), single[:1])
    torch.testing.assert_close(gradient, expected.bfloat16(), atol=1e-4, rtol=0.008)


def check_gradient() -> None:
    """The kernels compute in single precision, so finite differences are wide: both are linear in the maps."""
    maps, rois, level = scene(channels=1)
    few = slice(0, 2)
    arguments = [level_map.detach().requires_grad_() for level_map in maps[:2]]
    torch.autograd.gradcheck(
        lambda *inputs: roi_align_levels(inputs, rois[few], level[few], 2, 1, True),
        arguments, eps=0.1, atol=1e-3, rtol=1e-3, nondet_tol=1e-6, fast_mode=True,
    )  # fmt: skip


def check_operators() -> None:
    """Schemas, fake kernels and autograd registrations as torch.compile needs them; then compiled whole."""
    maps, rois, level = scene(channels=2)
    maps, rois, level = maps[1:], rois[:2], torch.tensor([0, 1])
    torch.library.opcheck(align, (maps, rois, level, 2, 1, True))
    torch.library.opcheck(pool, (maps, rois, level, 2))
    assert not roi_align_levels(maps, rois[:0], level[:0], 2, 2, True).numel()

    def step(*inputs: Tensor) -> Tensor:
        return (roi_align_levels(inputs, rois, level, 2, 1, True) * roi_pool_levels(inputs, rois, level, 2)).sum()

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    for one, other in zip(*(torch.autograd.grad(f(*maps), maps) for f in (step, compiled)), strict=True):
        torch.testing.assert_close(one, other)


if __name__ == "__main__":
    for check in (check_align, check_pool, check_types, check_gradient, check_operators):
        check()
