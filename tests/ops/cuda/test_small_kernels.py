"""Kernels in place of chains of small operations against these operations, under Triton's interpreter."""

from __future__ import annotations

import pytest

from tests.ops.interpreter import run_interpreted

UNIFORM = """
import torch
from lineage.ops import random

keys = torch.tensor([*(random.fold_in(0, image) for image in range(5)), 0, 1, 2**63 - 1])
cases = [(salt, n) for salt in (0, 1, 4, 32, 1000) for n in (0, 1, 7, 1024, 3001)]
expected = [random.uniform(keys, *case) for case in cases]
random.runs_triton = lambda x: True
for case, numbers in zip(cases, expected):
    assert torch.equal(random.uniform(keys, *case), numbers), case
assert torch.equal(random.uniform(keys[::2], 3, 9), random.uniform(keys, 3, 9)[::2])
assert random.uniform(keys[:0], 3, 9).shape == (0, 9)
"""

BOXES = """
import torch
from lineage.ops import boxes as box_ops
from lineage.ops.cuda import box_deltas
from tests.ops.test_boxes import random_boxes

launched = []
launch = box_deltas._launch
box_deltas._launch = lambda *arguments: launched.append(1) or launch(*arguments)

def compare(function, *arguments, exact=True, kernels=1):
    box_ops.runs_kernels = lambda x: False
    expected = function(*arguments)
    box_ops.runs_kernels = lambda x: True
    launched.clear()
    actual = function(*arguments)
    assert len(launched) == kernels, (function, len(launched))
    assert actual.dtype == expected.dtype and actual.shape == expected.shape
    same = (actual == expected) | ((actual != actual) & (expected != expected))
    if not exact:  # NumPy's exp and log differ from torch's by a digit
        same |= torch.isclose(actual, expected, rtol=1e-6, atol=1e-4)
    assert same.all(), (function, actual[~same], expected[~same])

generator = torch.Generator().manual_seed(0)
weights = (10.0, 10.0, 5.0, 5.0)
anchors, boxes = random_boxes(2, 700, seed=1), random_boxes(2, 700, seed=2)
deltas = torch.randn(2, 700, 4, generator=generator) * 4
wild = deltas.clone()
wild[0, :20] = 0
wild[0, 20:40] *= 1e5
wild[1, :4] = torch.tensor([float("nan"), float("inf"), -float("inf"), 1e38])
empty = anchors.clone()
empty[0, :9] = 0
empty[1, 5, 2:] = empty[1, 5, :2]
sizes = torch.tensor([[90.0, 120.0], [150.0, 70.5]])
for regions in (anchors, empty):
    compare(box_ops.encode, boxes, regions, weights, exact=False)
    compare(box_ops.encode, regions, boxes, weights, exact=False)
    for values in (deltas, wild):
        compare(box_ops.decode, values, regions, weights, exact=False)
        compare(box_ops.decode_inside, values, regions, weights, sizes, exact=False)
still = torch.cat((deltas[..., :2], torch.zeros(2, 700, 2)), -1)  # exp(0): all else is rounded as torch's
compare(box_ops.decode, still, empty, weights)
compare(box_ops.decode_inside, still, empty, (3.0, 7.0, 1.0, 1.0), sizes)
compare(box_ops.decode, still[0, :, None].expand(-1, 3, 4), empty[0, :, None], weights)  # broadcast
compare(box_ops.decode_inside, still, anchors[0], weights, sizes)
square = boxes[..., [0, 1, 0, 1]].round() + torch.tensor([0.0, 0.0, 8.0, 8.0])
compare(box_ops.encode, square + deltas[..., :1].round(), square, weights)  # log(1)
beyond = torch.cat((wild, boxes, -boxes), 1)
compare(box_ops.clip, beyond, sizes)
compare(box_ops.clip, beyond.view(2, 3, 700, 4), sizes)
compare(box_ops.clip, beyond[:, ::2], sizes)
compare(box_ops.clip, beyond[:1], sizes, kernels=0)  # images that share boxes
for min_size in (0, 1e-3, 5.0):
    compare(box_ops.has_min_size, beyond, min_size)
    compare(box_ops.has_min_size, empty[None], min_size)
for shape in ((2, 0, 4), (0, 5, 4)):
    none = torch.zeros(shape)
    compare(box_ops.encode, none, none, weights)
    compare(box_ops.decode, none, none, weights)
    compare(box_ops.decode_inside, none, none, weights, sizes[: shape[0]])
    compare(box_ops.clip, none, sizes[: shape[0]])
    compare(box_ops.has_min_size, none, 1.0)
# what has a gradient or another type is left to torch
compare(box_ops.decode, deltas.double(), anchors.double(), weights, kernels=0)
trained = deltas.clone().requires_grad_()
compare(box_ops.decode_inside, trained, anchors, weights, sizes, kernels=0)
box_ops.decode(trained, anchors, weights).sum().backward()
assert trained.grad is not None
with torch.no_grad():
    compare(box_ops.decode, trained, anchors, weights, exact=False)
"""

MASKS = """
import torch
from lineage.ops import mask_sampling
from lineage.structures import Masks

generator = torch.Generator().manual_seed(0)
first = [[3, 5, 40, 30], [0, 0, 64, 48], [0, 0, 0, 0]]
windows = torch.tensor([first, [[10, 2, 1, 1], [20, 20, 9, 17], [63, 47, 1, 1]]])
lengths = windows[..., 2:].prod(-1)
offsets = (lengths.flatten().cumsum(0) - lengths.flatten()).view_as(lengths)
bits = (torch.rand(int(lengths.sum()), generator=generator) > 0.5).byte()
masks = Masks(bits, offsets, windows)
sizes = torch.tensor([[48.0, 64.0], [40.0, 50.0]])
corner = torch.rand(2, 40, 2, generator=generator) * 60 - 8
boxes = torch.cat((corner, corner + torch.rand(2, 40, 2, generator=generator) ** 3 * 60), -1)
boxes[0, :3] = torch.tensor([[0.0, 0, 0, 0], [5, 6, 5, 6], [9, 9, 4, 4]])  # of no size, turned around
boxes[1, :2] = torch.tensor([[-1e5, -1e5, 1e5, 1e5], [3, 4, float("nan"), 9]])
matched_idx = torch.randint(0, 3, (2, 40), generator=generator)
arguments = [
    (boxes[:, :count], matched_idx[:, :count], sizes, dict(size=size, sampling_ratio=ratio, aligned=aligned))
    for count, size, ratio in ((16, 7, 4), (5, 28, 1), (10, 14, 3), (0, 14, 4)) for aligned in (False, True)
]
expected = [mask_sampling.crop_and_resize(masks, *places, **options) for *places, options in arguments]
mask_sampling.runs_kernels = lambda x: True
for (*places, options), crops in zip(arguments, expected):
    actual = mask_sampling.crop_and_resize(masks, *places, **options)
    # a mean of several samples is summed in another order
    close = dict(rtol=0, atol=0 if options["sampling_ratio"] == 1 else 1e-6)
    torch.testing.assert_close(actual, crops, equal_nan=True, **close)
assert expected[0].isnan().any() and (expected[0] > 0).any()
"""

REGIONS = """
import torch
from lineage.models.proposals import anchor_grid, rpn
from lineage.models.roi_heads import pooler
from tests.ops.test_boxes import random_boxes

boxes = random_boxes(2, 900, seed=0, extent=900)
boxes[0, :300] = random_boxes(300, seed=1, extent=20)
sides = 224 * 2.0 ** torch.arange(-6, 4)  # of exactly a level, and a digit beside it
beside = torch.stack((sides, sides.nextafter(sides * 2), sides.nextafter(sides * 0))).flatten()
boxes[1, :30] = torch.stack((beside * 0, beside * 0, beside, beside), -1)
boxes[0, :4] = torch.tensor([[0.0] * 4, [9, 9, 4, 12], [float("nan")] * 4, [-1e30, 0, 1e30, 1e30]])
for strides in ((4, 8, 16, 32), (8, 16), (16,), (10,)):
    layer = lambda size: lambda maps, rois, level: (rois, level)
    pool = pooler.Pooler(layer, size=7, strides=strides, canonical_size=224, canonical_level=4)
    for regions in (boxes, boxes[:, :40], boxes[:, :0]):
        pooler.runs_kernels = lambda x: False
        rois, level = pool([None] * 5, regions)
        pooler.runs_kernels = lambda x: True
        ours, our_level = pool([None] * 5, regions)
        assert torch.equal(ours.nan_to_num(-7), rois.nan_to_num(-7))
        assert level is our_level is None or (torch.equal(level, our_level) and level.dtype == our_level.dtype)

generator = dict(sizes=[[32, 45.25], [64, 90.5]], aspect_ratios=[0.5, 1.0, 2.0], strides=[4, 6])
for rounded in (False, True):
    anchors = rpn.AnchorGenerator(**generator, rounded=rounded)
    for sides in ((13, 17), (1, 1), (0, 3), (40, 7)):
        maps = [torch.zeros(1, 1, *sides), torch.zeros(1, 1, sides[0] // 2, sides[1])]
        anchor_grid.runs_kernels = lambda x: False
        expected = anchors(maps)
        anchor_grid.runs_kernels = lambda x: True
        assert all(torch.equal(*pair) for pair in zip(anchors(maps), expected, strict=True))
"""

COUNTS = """
import torch
from lineage.models.losses import diagnostics
from lineage.structures import Proposals, Targets
from tests.ops.test_boxes import random_boxes

generator = torch.Generator().manual_seed(0)

def flags(*shape, share=0.5):
    return torch.rand(*shape, generator=generator) < share

def compare(function, *arguments):
    sides = []
    for on_cuda in (False, True):
        diagnostics.runs_kernels = diagnostics.runs_triton = lambda x: on_cuda
        diagnostics_of_side = function(*arguments)
        sides.append([(name, float(total), float(normalizer)) for name, total, normalizer in diagnostics_of_side])
        if on_cuda:
            assert all(part.dtype == torch.int64 for _, *parts in diagnostics_of_side for part in parts)
    assert sides[0] == sides[1], (function, sides)
    return sides[1]

for slots in (1, 700, 2100):
    compare(diagnostics.count_samples, flags(2, slots), flags(2, slots, share=0.8))
    compare(diagnostics.count_samples, flags(2, slots), torch.zeros(2, slots, dtype=torch.bool))
    labels = torch.randint(0, 4, (2, slots), generator=generator)
    for classes in (1, 3, 80) if slots == 700 else (3,):
        labels = torch.randint(0, classes + 1, (2, slots), generator=generator)
        logits = torch.randint(9, (2, slots, classes + 1), generator=generator).float()  # many are equal
        logits[0, :9, 1], logits[0, 3:20, 0], logits[1, :5] = float("nan"), float("inf"), -float("inf")
        probabilities, valid = logits.softmax(-1).requires_grad_(), flags(2, slots, share=0.8)
        expected = compare(diagnostics.measure_classification, probabilities, labels, valid)
        of_logits = diagnostics.measure_classification(logits, labels, valid)
        assert [(name, float(total), float(normalizer)) for name, total, normalizer in of_logits] == expected
for slots, side in ((0, 14), (5, 28), (40, 14), (3, 1)):
    logits = torch.randn(2, slots, side, side, generator=generator)
    goal = torch.rand(2, slots, side, side, generator=generator)
    logits[:, :, 0, 0], goal[:, :, 0] = 0, 0.5
    logits[:1, :1, 0] = float("nan")
    for values in (logits, logits.bfloat16(), logits.transpose(2, 3)):
        compare(diagnostics.measure_masks, values.detach().requires_grad_(), goal, flags(2, slots))
boxes, valid = random_boxes(3, 20, seed=1), flags(3, 20, share=0.8)
boxes[0, 3], boxes[0, 4] = 0, float("nan")
targets = Targets(boxes, valid.long(), valid, valid & flags(3, 20, share=0.2), None, None)
for slots in (0, 20, 1500):
    regions = random_boxes(3, slots, seed=2)
    regions[:, :5] = torch.nan_to_num(boxes[:, :slots][:, :5])
    regions[:, 5:15] = boxes[:, :slots][:, 5:15] * torch.tensor([1.0, 1.0, 1.0, 0.9])
    regions[:, 20:22] = float("nan")
    compare(diagnostics.measure_recall, Proposals(regions, regions[..., 0], flags(3, slots)), targets)
"""

STEP = """
import torch
from lineage.models.losses import box_losses, diagnostics, mask_losses
from lineage.models.proposals import anchor_grid
from lineage.models.roi_heads import box_head, pooler
from lineage.ops import boxes, mask_sampling, matching, random
from tests.models.compose import build
from tests.models.scenes import batch

torch.manual_seed(0)
model = build("model=cascade_mask_rcnn").train()
images, targets = batch([(128, 160), (110, 150)], [3, 2], 4, canvas=(128, 160), seed=0)
expected = model.losses(images, targets)
for module in (anchor_grid, box_head, box_losses, boxes, diagnostics, mask_losses, mask_sampling, matching, pooler):
    module.runs_kernels = lambda x: True
random.runs_triton = diagnostics.runs_triton = lambda x: True
losses = model.losses(images, targets)
for name, loss in expected.items():
    torch.testing.assert_close(losses[name].sum, loss.sum, rtol=1e-4, atol=1e-4, msg=name)
    assert losses[name].normalizer == loss.normalizer
    assert losses[name].diagnostics == loss.diagnostics, name
"""

SCRIPTS = {"uniform": UNIFORM, "boxes": BOXES, "masks": MASKS, "regions": REGIONS, "counts": COUNTS, "step": STEP}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_the_kernels_agree_with_torch_under_tritons_interpreter(script: str) -> None:
    run_interpreted("-W", "ignore", "-c", script)
