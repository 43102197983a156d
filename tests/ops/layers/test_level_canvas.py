"""Packed levels against single levels, under Triton's interpreter."""

from tests.ops.interpreter import run_interpreted

# As a GPU runs them: `runs_kernels` says yes, the interpreter computes; then with cuDNN's fused convolution as well.
PROGRAM = """
import torch
import torch.nn.functional as F
from torch import nn
from lineage.ops.layers import convolution, cudnn, level_canvas
from lineage.ops.layers.level_canvas import can_pack, convolve_packed, pack, predict_packed

generator = torch.Generator().manual_seed(0)
PYRAMIDS = (  # landscape, portrait, sides that no level halves exactly, and coarser levels that are the larger ones
    ((12, 20), (6, 10), (3, 5), (2, 3), (1, 2)),
    ((20, 12), (10, 6), (5, 3), (3, 2), (2, 1)),
    ((13, 21), (7, 11), (4, 6), (2, 3)),
    ((9, 7), (5, 4), (3, 2)),
    ((4, 4), (2, 3), (6, 2), (5, 7), (1, 1)),
)

def random(*shape):
    return torch.randn(*shape, generator=generator)

def build(inputs, outputs, size, memory):
    conv = nn.Conv2d(inputs, outputs, size, padding=size // 2).to(memory_format=memory)
    nn.init.normal_(conv.weight, generator=generator, std=0.3)
    nn.init.normal_(conv.bias, generator=generator)  # a gap that is not cleared holds the rectified bias
    return conv

def flatten(x):
    return x.permute(0, 2, 3, 1).flatten(1, 2)

def compare(sides, memory, size):
    convolutions, predictor = [build(8, 8, 3, memory) for _ in range(3)], build(8, 5, size, memory)
    levels = [random(2, 8, *side).to(memory_format=memory).requires_grad_() for side in sides]
    parameters = [p for conv in (*convolutions, predictor) for p in conv.parameters()]
    body = nn.Sequential(*(layer for conv in convolutions for layer in (conv, nn.ReLU())), predictor)
    expected = torch.cat([flatten(body(level)) for level in levels], 1)
    packed = pack(levels)
    for conv in convolutions:
        packed = convolve_packed(packed, conv)
        occupied = torch.zeros_like(packed.canvas)
        for window in level_canvas._windows(occupied, packed.sides):
            assert not window.any()  # no levels overlap
            window.fill_(1)
        assert not packed.canvas[occupied == 0].any()
    outputs = predict_packed(packed, predictor.weight, predictor.bias, padding=size // 2)
    assert outputs.dtype == torch.float32
    torch.testing.assert_close(outputs, expected, rtol=1e-4, atol=1e-4)
    grad = random(*expected.shape)
    grads = [torch.autograd.grad(result, [*levels, *parameters], grad) for result in (outputs, expected)]
    torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-3)
    half = predict_packed(packed, predictor.weight, predictor.bias, padding=size // 2, dtype=torch.bfloat16)
    torch.testing.assert_close(half, outputs.bfloat16())
    rounded = torch.autograd.grad(half, predictor.bias, grad.bfloat16())[0]
    torch.testing.assert_close(rounded, grad.bfloat16().float().sum((0, 1)), rtol=1e-4, atol=1e-3)

class Counted:
    def __init__(self, function):
        self.function, self.calls = function, 0

    def apply(self, *arguments):
        self.calls += 1
        return self.function.apply(*arguments)

assert not can_pack([random(1, 8, 4, 4)] * 5)  # on a CPU
for module in (convolution, level_canvas):
    module.runs_kernels = lambda x: True
assert [count for count in range(7) if can_pack([random(1, 8, 4, 4)] * count)] == [3, 4, 5]

def compare_all():
    for sides in PYRAMIDS:
        compare(sides, torch.channels_last, 3)
    compare(PYRAMIDS[0], torch.channels_last, 1)
    compare(PYRAMIDS[0], torch.contiguous_format, 3)

convolution._Epilogue = Counted(convolution._Epilogue)
compare_all()
assert convolution._Epilogue.calls == 7 * 2 * 3 - 3  # the finest level and the canvas; not finest, if not channels_last

cudnn.can_fuse = lambda x, weight, *_: cudnn._is_channels_last(x) and cudnn._is_channels_last(weight)
cudnn._run = lambda x, weight, bias, shortcut, shape: F.relu(F.conv2d(x, weight, bias, *shape))
cudnn.FusedConvolution = Counted(cudnn.FusedConvolution)
compare_all()
assert cudnn.FusedConvolution.calls == 6 * 2 * 3
"""


def test_packed_levels_have_the_values_and_gradients_of_single_levels() -> None:
    run_interpreted("-c", PROGRAM)
