"""Non-maximum suppression without our operator."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lineage.models.export.program import capture, nms_in_torch, replace_own_operators
from lineage.ops.nms import nms


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.7])
@pytest.mark.parametrize("count", [1, 7, 120])
def test_suppression_without_our_operator_is_the_same(count: int, threshold: float) -> None:
    generator = torch.Generator().manual_seed(count)
    low = torch.rand(3, count, 2, generator=generator) * 60
    boxes = torch.cat((low, low + torch.rand(3, count, 2, generator=generator) * 50), -1)
    boxes[0, count // 2 :] = boxes[0, : count - count // 2].clone()  # exact repeats
    groups = torch.randint(0, 3, (3, count), generator=generator)
    valid = torch.rand(3, count, generator=generator) > 0.3
    valid[2] = False
    assert torch.equal(nms_in_torch(boxes, groups, valid, threshold), nms(boxes, groups, valid, threshold))


def test_a_chain_of_boxes_needs_many_rounds() -> None:
    """Each box overlaps the next alone, so every second one stays: the answer for the last depends on the first."""
    x = torch.arange(40.0) * 3
    boxes = torch.stack((x, torch.zeros(40), x + 10, torch.full((40,), 10.0)), -1)[None]
    same, valid = torch.zeros(1, 40, dtype=torch.int64), torch.ones(1, 40, dtype=torch.bool)
    kept = nms_in_torch(boxes, same, valid, 0.5)
    assert torch.equal(kept, nms(boxes, same, valid, 0.5))
    assert kept[0].tolist() == [i % 2 == 0 for i in range(40)]


class Suppress(nn.Module):
    def forward(self, boxes: Tensor, valid: Tensor) -> Tensor:
        return nms(boxes, torch.zeros_like(valid, dtype=torch.int64), valid, 0.5)


def test_a_captured_program_loses_our_operator_and_no_result() -> None:
    low = torch.rand(2, 30, 2, generator=torch.Generator().manual_seed(0)) * 40
    inputs = (torch.cat((low, low + 20), -1), torch.ones(2, 30, dtype=torch.bool))
    program = capture(Suppress(), inputs)
    assert "lineage" in str(program.graph)
    replaced = replace_own_operators(program)
    assert "lineage" not in str(replaced.graph)
    assert torch.equal(replaced.module()(*inputs), nms(inputs[0], torch.zeros(2, 30), inputs[1], 0.5))
