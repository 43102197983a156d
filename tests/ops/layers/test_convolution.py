"""The kernels behind a convolution against plain torch, under Triton's interpreter."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineage.models.backbones import norm as norms
from lineage.models.backbones.norm import FrozenBatchNorm, convolve_and_normalize
from lineage.models.backbones.residual_blocks import BasicBlock, Bottleneck
from lineage.ops.layers.convolution import convolve, enlarge
from tests.ops.interpreter import run_interpreted

KERNELS = """
import torch
import torch.nn.functional as F
from lineage.ops.layers import convolution_cuda as cuda
from lineage.ops.layers.convolution import _Epilogue
from lineage.ops.layers import filters as folding
from lineage.ops.layers.filters import FrozenNorm, fold_norm

folding.runs_kernels = lambda x: True

def random(*shape):
    return torch.randn(*shape, generator=generator).contiguous(memory_format=torch.channels_last)

generator = torch.Generator().manual_seed(0)
for channels in (3, 8, 300):
    y, shortcut = random(2, channels, 6, 10), random(2, channels, 6, 10)
    bias = torch.randn(channels, generator=generator)
    grad = random(2, channels, 6, 10)
    for relu in (True, False):
        for addend in (shortcut, None):
            inputs = [y.clone().requires_grad_(), bias.clone().requires_grad_()]
            expected = inputs[0] + inputs[1][:, None, None] + (0 if addend is None else addend)
            expected = F.relu(expected) if relu else expected
            expected_grads = torch.autograd.grad(expected, inputs, grad)
            out = cuda.finish(y, bias, addend, relu)
            torch.testing.assert_close(out, expected)
            for needs_bias in (True, False):
                grads = cuda.finish_backward(grad, out if relu else None, needs_bias)
                torch.testing.assert_close(grads[0], expected_grads[0])
                assert not needs_bias or torch.allclose(grads[1], expected_grads[1], rtol=1e-4, atol=1e-4)
    other = random(2, channels, 6, 10)
    out = cuda.finish(y, bias, None, True)
    third = random(2, channels, 6, 10)
    for others in ([], [other], [other, third]):
        expected = sum(others, grad)
        torch.testing.assert_close(cuda.finish_backward(grad, out, False, others)[0], expected * (out > 0))
        torch.testing.assert_close(cuda.finish_backward(grad, out, True, others)[0], expected * (out > 0))
    inputs = [y.clone().requires_grad_(), shortcut.clone().requires_grad_()]
    maps = first, second, last = _Epilogue.apply(inputs[0], bias, inputs[1], True, 3)
    two = (first * grad).sum() + (last * other).sum()
    for readers in (two + (second * third).sum(), two, (first * grad).sum(), (last * grad).sum()):
        grads = torch.autograd.grad(readers, inputs, retain_graph=True)
        sums = torch.autograd.grad(readers, maps, retain_graph=True, allow_unused=True)
        expected = sum(part for part in sums if part is not None) * (first > 0)
        torch.testing.assert_close(grads, (expected, expected))
    weight, constants = random(channels, 4, 3, 3), torch.rand(4, channels, generator=generator)
    norm = FrozenNorm(*constants, 1e-5)
    weight.requires_grad_()
    (filters, shift), (scale, expected_shift) = fold_norm(weight, norm), norm.affine()
    assert type(filters.grad_fn).__name__ == "_FoldNormBackward"
    expected = weight * scale[:, None, None, None]
    torch.testing.assert_close((filters, shift), (expected, expected_shift))
    for ones in (torch.ones_like(filters), torch.ones(filters.shape)):  # of either layout
        grads = (torch.autograd.grad(folded, weight, ones, retain_graph=True) for folded in (filters, expected))
        torch.testing.assert_close(*grads)
    window = random(2, channels, 9, 12)[:, :, 1:7, 2:]
    for addend in (other, window, window.contiguous()):
        torch.testing.assert_close(cuda.add(grad, addend), grad + addend)
    coarse = random(2, channels, 3, 5).requires_grad_()
    expected = y + bias[:, None, None] + F.interpolate(coarse, scale_factor=2, mode="nearest")
    torch.testing.assert_close(cuda.enlarge_and_add(y, bias, coarse.detach()), expected)
    torch.testing.assert_close(cuda.sum_quads(grad), torch.autograd.grad(expected, coarse, grad)[0])
"""

# The layers as a GPU runs them: `runs_kernels` says yes, the interpreter computes.
LAYERS = """
import torch
import torch.nn.functional as F
from torch import nn
from lineage.ops.layers import convolution

generator = torch.Generator().manual_seed(0)
kernels = []

def random(*shape):
    return torch.randn(*shape, generator=generator)

def compare(layer, expected, inputs, is_fused):
    \"\"\"Values, gradients, and whether a kernel of ours made them.\"\"\"
    kernels.clear()
    out = layer()
    assert bool(kernels) == is_fused, (kernels, is_fused)
    grads = torch.autograd.grad(sum((part * part).sum() for part in out), inputs)
    expected = expected()
    torch.testing.assert_close(out, expected)
    reference = torch.autograd.grad(sum((part * part).sum() for part in expected), inputs)
    torch.testing.assert_close(grads, reference, rtol=1e-4, atol=1e-4)

class Counted:
    def __init__(self, function):
        self.function = function

    def apply(self, *arguments):
        kernels.append(self.function)
        return self.function.apply(*arguments)

convolution.runs_kernels = lambda x: True
convolution._Epilogue = Counted(convolution._Epilogue)
convolution._EnlargeAndAdd = Counted(convolution._EnlargeAndAdd)
last, first = torch.channels_last, torch.contiguous_format
for memory in (last, first):
    for biased in (True, False):
        conv = nn.Conv2d(4, 6, 3, padding=1, bias=biased).to(memory_format=memory)
        nn.init.normal_(conv.weight, generator=generator)
        x = random(2, 4, 6, 10).to(memory_format=memory).requires_grad_()
        inputs = [x, conv.weight, *([conv.bias] if biased else [])]
        shortcut = random(2, 6, 6, 10).to(memory_format=memory)
        for relu in (True, False):
            for addend in (shortcut, None):
                compare(
                    lambda: (convolution.convolve(x, conv, shortcut=addend, relu=relu),),
                    lambda: ((F.relu if relu else nn.Identity())(conv(x) + (0 if addend is None else addend)),),
                    inputs, biased and memory == last,
                )
        for size in ((3, 5), (2, 5), (3, 4)):  # two of a map that is not twice as large
            coarse = random(2, 6, *size).to(memory_format=memory).requires_grad_()
            compare(
                lambda: (convolution.enlarge_and_add(coarse, x, conv),),
                lambda: (conv(x) + F.interpolate(coarse, size=(6, 10)),),
                [*inputs, coarse], memory == last and size == (3, 5),
            )
        other = random(2, 6, 3, 5).double()  # another type goes the plain way
        compare(
            lambda: (convolution.enlarge_and_add(other, x, conv),),
            lambda: (conv(x) + F.interpolate(other, size=(6, 10)),), inputs, False,
        )
        weight, bias = random(6, 4, 3, 3).to(memory_format=memory), random(6)
        compare(
            lambda: convolution.convolve_for_readers(x, conv, weight=weight, bias=bias, shortcut=shortcut),
            lambda: (F.relu(F.conv2d(x, weight, bias, padding=1) + shortcut),) * 3, [x], memory == last,
        )
"""


@pytest.mark.parametrize("program", [KERNELS, LAYERS], ids=["kernels", "layers"])
def test_the_kernels_agree_with_torch_under_tritons_interpreter(program: str) -> None:
    run_interpreted("-c", program)


def test_a_folded_norm_computes_what_two_layers_do_and_leaves_their_parameters_alone() -> None:
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), FrozenBatchNorm(8)
    for buffer in norm.buffers():
        buffer.uniform_(0.5, 2)
    x = torch.randn(2, 3, 9, 9, dtype=torch.float64, requires_grad=True)
    conv, norm = conv.double(), norm.double()
    shortcut = torch.randn(2, 8, 5, 5, dtype=torch.float64)
    names = [*nn.Sequential(conv, norm).state_dict()]
    for addend in (None, shortcut):
        two = F.relu(norm(conv(x)) + (0 if addend is None else addend))
        folded = convolve_and_normalize(x, conv, norm, shortcut=addend)
        torch.testing.assert_close(folded, two)
        expected_grads = torch.autograd.grad(two.square().sum(), [x, conv.weight])
        torch.testing.assert_close(torch.autograd.grad(folded.square().sum(), [x, conv.weight]), expected_grads)
    assert names == [*nn.Sequential(conv, norm).state_dict()]
    assert convolve_and_normalize(x, conv, nn.BatchNorm2d(8).double()).shape == two.shape  # any other norm: two layers


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
def test_the_shift_of_a_projection_is_added_with_the_bias_of_the_branch(
    block: type[BasicBlock | Bottleneck], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    width = 8 // block.expansion
    projection = nn.Sequential(nn.Conv2d(6, 8, 1, 2, bias=False), FrozenBatchNorm(8))
    layer = block(6, width, 2, projection, norm_layer=FrozenBatchNorm).double()
    for buffer in layer.buffers():
        buffer.uniform_(0.5, 2)
    x = torch.randn(2, 6, 9, 9, dtype=torch.float64, requires_grad=True)
    leaves = [x, *layer.parameters()]

    def compute() -> list[Tensor]:
        out = layer(x)
        return [out, *torch.autograd.grad(out.square().sum(), leaves)]

    expected = compute()
    monkeypatch.setattr(norms, "runs_kernels", lambda x: True)
    assert norms.project(x, *projection).shift is not None
    torch.testing.assert_close(compute(), expected)
    setattr(layer, "bn3" if block is Bottleneck else "bn2", nn.BatchNorm2d(8).double().eval())  # another norm
    with_shift = layer(x)
    monkeypatch.undo()
    torch.testing.assert_close(with_shift, layer(x))


def test_a_shortcut_is_not_changed_by_the_sum() -> None:
    conv = nn.Conv2d(2, 2, 1)
    shortcut = torch.ones(1, 2, 3, 3)
    convolve(torch.ones(1, 2, 3, 3), conv, shortcut=shortcut)
    assert (shortcut == 1).all()


def test_an_enlarged_map_is_that_of_interpolate_for_odd_sizes_too() -> None:
    coarse = torch.randn(1, 2, 3, 5)
    size = torch.Size((5, 9))
    assert torch.equal(enlarge(coarse, size), F.interpolate(coarse, size=size, mode="nearest"))
