"""Weights that a launch prepares for a recorded step, and their gradients, on a CUDA device."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lineage.models.backbones.norm import FrozenBatchNorm
from lineage.ops.layers.filters import FrozenNorm, fold_norm
from lineage.train.detection_module import combine_losses
from lineage.train.engines.engine import make_engine
from tests.gpu.test_cuda import CUDA, inputs, make, move

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_casts_round_as_torch_does_and_scale_as_a_folded_norm(dtype: torch.dtype) -> None:
    from lineage.ops.layers.prepared_weights_cuda import Cast, Casts

    torch.manual_seed(0)
    shapes = [(64, 64, 1, 1), (64, 3, 7, 7), (33, 5, 3, 3), (256, 64, 3, 3), (81, 1024), (3,), (81,)]
    weights = [torch.randn(shape, device=CUDA) for shape in shapes] + [torch.randn(9000, device=CUDA)[1:8193]]
    weights = [x.to(memory_format=torch.channels_last) if x.dim() == 4 else x for x in weights]
    norms = [FrozenNorm(*torch.rand(4, len(x), device=CUDA), 1e-5) if x.dim() == 4 else None for x in weights]
    shifts = [x.new_empty(len(x), dtype=dtype) if x.dim() == 4 else None for x in weights]
    outs = [torch.empty_like(x, dtype=dtype) for x in weights]
    grads = [torch.empty_like(x) for x in weights]
    run(Casts(weights), [*map(Cast, weights, outs, norms, shifts)])
    run(Casts(weights), [*map(Cast, outs, grads, norms, [None] * len(outs))])
    for weight, out, norm, shift, grad in zip(weights, outs, norms, shifts, grads, strict=True):
        if norm is None:
            assert torch.equal(out, weight.to(dtype))
            assert torch.equal(grad, out.float())
            continue
        with torch.autocast("cuda", dtype=dtype, enabled=dtype != torch.float32):
            torch.testing.assert_close((out, shift), tuple(fold_norm(weight, norm)))
        torch.testing.assert_close(grad, out.float() * norm.affine()[0][:, None, None, None])


def run(casts: object, tensors: list) -> None:  # type: ignore[type-arg]
    casts.plan(tensors)  # type: ignore[attr-defined]
    casts.write_tables()  # type: ignore[attr-defined]
    casts.launch()  # type: ignore[attr-defined]


def freeze_norms(model: nn.Module) -> None:
    """Replace all group norms, as a ResNet of a paper has none."""
    for module in [*model.modules()]:
        for name, child in module.named_children():
            if isinstance(child, nn.GroupNorm):
                setattr(module, name, FrozenBatchNorm(child.num_channels))


@pytest.mark.parametrize("bf16", [False, True])
def test_a_recorded_step_reads_the_weights_of_now(bf16: bool) -> None:
    model = make("mask_rcnn")
    freeze_norms(model)
    model = model.to(CUDA).train()
    engines = {name: make_engine(name, model, CUDA) for name in ("graph", "eager")}
    batch_inputs = move(inputs(model))
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]

    def compute(name: str) -> list[Tensor | None]:
        model.zero_grad()
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=bf16):
            loss = combine_losses(engines[name].losses(*batch_inputs))[0]
        loss.backward()
        return [None if parameter.grad is None else parameter.grad.clone() for parameter in parameters]

    for _ in range(8):
        compute("graph")
    assert len(next(iter(engines["graph"].recorder.prepared.values())).uses) >= (20 if bf16 else 10)  # type: ignore[union-attr]
    with torch.no_grad():
        for parameter in parameters:
            parameter.mul_(0.9)
    actual, expected = compute("graph"), compute("eager")
    assert [grad is None for grad in actual] == [grad is None for grad in expected]
    ours, theirs = (torch.cat([g.flatten() for g in grads if g is not None]) for grads in (actual, expected))
    assert float((ours - theirs).norm() / theirs.norm()) < (5e-2 if bf16 else 1e-3)
