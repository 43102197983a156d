"""The mask of each region's class against all steps in plain torch, under Triton's interpreter."""

from __future__ import annotations

from tests.ops.interpreter import run_interpreted

PROGRAM = """
import torch
import torch.nn.functional as F
from torch import nn
from lineage.ops.layers import class_masks
from lineage.ops.layers.class_masks import enlarge_and_filter

torch.manual_seed(0)
apply, applied = class_masks._Filter.apply, []
class_masks._Filter.apply = lambda *arguments: applied.append(1) or apply(*arguments)

def compute(x, layer, filters, is_fused):
    class_masks.runs_kernels = lambda x: is_fused
    masks = enlarge_and_filter(x, layer, filters)
    grad = torch.randn(masks.shape, generator=torch.Generator().manual_seed(1))
    return masks, *torch.autograd.grad(masks, [x, layer.weight, layer.bias, filters], grad)

for regions, channels, side in ((3, 8, 7), (1, 300, 4), (2, 5, 1)):
    layer = nn.ConvTranspose2d(4, channels, 2, stride=2).to(memory_format=torch.channels_last)
    nn.init.normal_(layer.bias)
    x = torch.randn(regions, 4, side, side).contiguous(memory_format=torch.channels_last).requires_grad_()
    filters = torch.randn(regions, channels, requires_grad=True)
    expected = compute(x, layer, filters, False)
    torch.testing.assert_close(compute(x, layer, filters, True), expected, rtol=1e-4, atol=1e-4)
    assert len(applied) == 1
    applied.clear()
    halves = x.detach().bfloat16().requires_grad_(), layer.bfloat16(), filters.detach().bfloat16().requires_grad_()
    masks = compute(*halves, True)
    assert masks[0].dtype == torch.float32 and masks[-1].dtype == torch.bfloat16
    for part, single in zip(masks, expected):  # where a value is almost 0, half precision rectifies another way
        assert (part.float() - single).norm() < 0.03 * single.norm()
    applied.clear()
"""


def test_masks_and_gradients_under_tritons_interpreter() -> None:
    run_interpreted("-c", PROGRAM)
