"""Checks of shared maps against maps that are not, run by Triton's interpreter: TRITON_INTERPRET=1 python -m ..."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lineage.ops import roi_align as align_module
from lineage.ops import roi_pool as pool_module
from lineage.ops.layers import shared_gradient
from lineage.ops.layers.shared_gradient import SharedMaps, scale_gradient, share_gradient
from lineage.ops.roi_align import roi_align
from lineage.ops.roi_pool import roi_pool
from tests.ops.interpreted_roi import scene

Reader = Callable[[list[Tensor], Tensor, Tensor], Tensor]


def few_regions(dtype: torch.dtype = torch.float32) -> tuple[list[Tensor], Tensor, Tensor]:
    """Return the scene of the kernels' own checks with four of its regions, as the interpreter is slow."""
    maps, rois, level = scene(dtype, channels=2)
    return maps, rois[[0, 1, 4, 8]], level[[0, 1, 4, 8]]


def weigh(values: Tensor) -> Tensor:
    """Return a random linear function of them."""
    return (values * torch.randn(values.shape, generator=torch.Generator().manual_seed(1))).sum()


READERS: dict[str, Reader] = {
    "box head": lambda maps, rois, level: weigh(roi_align(maps[:3], rois, level, 2, 2, True)),
    "mask head": lambda maps, rois, level: weigh(roi_align(maps[:2], rois, level.clamp(max=1), 3, 1, True)),
    "pool": lambda maps, rois, level: weigh(roi_pool(maps[:3], rois, level, 2)),
    "cascade": lambda maps, rois, level: weigh(roi_align(scale_gradient(maps, 0.25)[:3], rois, level, 2, 1, False)),
    "scaled": lambda maps, rois, level: weigh(scale_gradient(scale_gradient(maps, 0.5), 0.25)[1]),
    "rpn": lambda maps, rois, level: sum(weigh(level_map**2) for level_map in (maps[0], maps[2], maps[3])),
    "last map": lambda maps, rois, level: weigh(roi_align(maps[1:][:1], rois, None, 2, 1, True)),
}


def read(maps: list[Tensor], rois: Tensor, level: Tensor, names: tuple[str, ...]) -> list[Tensor]:
    return [READERS[name](maps, rois, level) for name in names]


def compare_readers(names: tuple[str, ...]) -> None:
    """Compare values and gradients: of all readers, of all again, and of the last alone."""
    maps, rois, level = few_regions()
    maps = [*maps, torch.randn(2, 2, 2, 3, requires_grad=True)]  # a fourth, which nothing pools
    shared = share_gradient(maps)
    assert isinstance(shared, SharedMaps)
    alone, together = read(maps, rois, level, names), read(shared, rois, level, names)
    torch.testing.assert_close(together, alone)
    for part in (slice(None), slice(None), slice(-1, None)):
        expected, actual = (
            torch.autograd.grad(sum(values[part]), maps, retain_graph=True, materialize_grads=True)
            for values in (alone, together)
        )
        torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)
    assert shared.sums.buffer is None


def check_readers() -> None:
    compare_readers(tuple(READERS))
    compare_readers(("box head", "mask head"))  # nobody else
    compare_readers(("rpn",))  # nothing is pooled
    compare_readers(("rpn", "last map"))  # not from the first level on


def check_types() -> None:
    """Sums in single precision are rounded once (the interpreter truncates), and memory is channels last."""
    maps, rois, level = few_regions(torch.bfloat16)
    last = [level_map.detach().to(memory_format=torch.channels_last).requires_grad_() for level_map in maps]
    single = [level_map.detach().float().requires_grad_() for level_map in maps]
    names = ("box head", "mask head", "cascade")
    expected = torch.autograd.grad(sum(read(single, rois, level, names)) + weigh(single[0]), single)
    shared = share_gradient(last)
    gradients = torch.autograd.grad(sum(read(shared, rois, level, names)) + weigh(shared[0]), last)
    for gradient, exact in zip(gradients, expected, strict=True):
        assert gradient.dtype == torch.bfloat16
        assert gradient.is_contiguous(memory_format=torch.channels_last)
        assert float((gradient.float() - exact).norm() / exact.norm()) < 0.01


def check_no_regions() -> None:
    maps, rois, level = scene()
    shared = share_gradient(maps)
    bins = roi_align(shared, rois[:0], level[:0], 2, 1, True)
    gradients = torch.autograd.grad(bins.sum() + shared[0].sum(), maps)
    assert [float(gradient.sum()) for gradient in gradients] == [maps[0].numel(), 0, 0]


if __name__ == "__main__":
    for module in (shared_gradient, align_module, pool_module):
        module.runs_fused = lambda maps: True
    shared_gradient.runs_kernels = lambda x: True
    for check in (check_readers, check_types, check_no_regions):
        check()
