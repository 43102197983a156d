"""A recorded step against the eager one: equal losses, gradients and detections, before anything is timed."""

from __future__ import annotations

from collections.abc import Callable

import torch
from benchmarks.gpu.steps import OurTraining
from torch import Tensor
from torch.utils._pytree import tree_map_only

from lineage.eval.predictions.host_copy import sizes_of
from lineage.eval.predictions.image_coordinates import to_image_coordinates
from lineage.structures import Batch, Detections
from lineage.train.engines.engine import EagerEngine

RECORDED_AFTER = 7  # steps: eager with all slots, then eager and recorded with the forecast number
LOSSES, GRADIENTS, SCORES = 1e-2, 3e-2, 2e-2  # largest differences; bf16 keeps 3 digits


def compare_with_eager(step: OurTraining) -> float:
    """Return the relative difference of all gradients. Raises AssertionError if it is large, or nothing is recorded."""
    engine, step.engine = step.engine, EagerEngine(step.model)
    expected, expected_losses = gradients(step)
    step.engine = engine
    for _ in range(RECORDED_AFTER):
        actual, losses = gradients(step)
    assert getattr(engine, "refusal", None) is None, engine.refusal
    assert isinstance(engine, EagerEngine) or engine.graphs, "nothing was recorded"
    torch.testing.assert_close(losses, expected_losses, rtol=LOSSES, atol=1e-3)
    error = float((actual - expected).norm() / expected.norm())
    assert error < GRADIENTS, f"gradients differ by {error}"
    return error


def gradients(step: OurTraining) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the gradients of all parameters, one after the other, and the losses."""
    step.optimizer.zero_grad(set_to_none=True)
    losses = step.compute_gradients()
    parts = [parameter.grad.flatten() for parameter in step.model.parameters() if parameter.grad is not None]
    step_gradients = torch.cat(parts).float()
    step.optimizer.zero_grad(set_to_none=True)
    return step_gradients, losses


def compare_masks(detections: Detections, batch: Batch) -> int:
    """Return the number of masks of a batch; raise AssertionError unless the CPU gives them the same RLE."""
    ours = to_image_coordinates(detections, sizes_of(batch), ("mask",)).masks()
    on_cpu = tree_map_only(Tensor, Tensor.cpu, detections)
    assert ours == to_image_coordinates(on_cpu, sizes_of(batch), ("mask",)).masks(), "RLEs of both devices differ"
    return len(ours)


def compare_detections(recorded: Callable[[], Detections], eager: Callable[[], Detections]) -> float:
    """Return the largest difference of scores. Raises AssertionError if it is large, or if nothing is detected."""
    for _ in range(3):
        ours = recorded()
    expected = eager()
    assert bool(expected.valid.any()), "nothing is detected"
    error = float((ours.scores - expected.scores).abs().max())
    assert error < SCORES, f"scores differ by {error}"
    return error
