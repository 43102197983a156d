"""The kernels of the focal loss against torchvision's, under Triton's interpreter."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

KERNELS = """
import torch
from torchvision.ops import sigmoid_focal_loss
from lineage.models.losses import focal

focal.runs_kernels = lambda x: True
applied = []
apply = focal._Focal.apply
focal._Focal.apply = lambda *arguments: applied.append(1) or apply(*arguments)
generator = torch.Generator().manual_seed(0)
logits = (torch.randn(3, 11, 40, generator=generator) * 8).requires_grad_()
gt = (torch.rand(3, 11, 40, generator=generator) > 0.7).float()
weights = torch.randn(3, 11, generator=generator)

def compare(actual, expected, grad):
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-7)
    ours, theirs = (torch.autograd.grad(losses, logits, grad)[0] for losses in (actual, expected))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-7)

for alpha, gamma in ((0.25, 2.0), (0.75, 0.5), (0.25, 0.0), (None, 2.0), (None, 0.0)):
    loss = focal.FocalLoss(alpha=alpha, gamma=gamma)
    for grad in (torch.randn(3, 11, 40, generator=generator), weights[..., None].expand(3, 11, 40)):
        exact = sigmoid_focal_loss(logits.double(), gt.double(), -1 if alpha is None else alpha, gamma)
        compare(loss(logits, gt), exact.float(), grad)
        compare(loss(logits, gt), focal.focal(logits, gt, alpha, gamma), grad)
    assert loss(logits[:, :0], gt[:, :0]).shape == (3, 0, 40)
count = len(applied)
assert count == 20, count
focal.FocalLoss(alpha=0.25, gamma=2.0)(logits.double(), gt.double())  # another type goes the plain way
assert len(applied) == count
certain = torch.tensor([-200.0, 200.0, 0.0, 50.0]).requires_grad_()
losses = focal.FocalLoss(alpha=0.25, gamma=0.5)(certain, torch.tensor([0.0, 1.0, 1.0, 0.0]))
losses.sum().backward()
assert losses.isfinite().all() and certain.grad.isfinite().all()
"""


def test_the_kernels_agree_with_torchvision_under_tritons_interpreter() -> None:
    pytest.importorskip("triton", reason="Triton ships with torch on Linux only")
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    run = subprocess.run([sys.executable, "-c", KERNELS], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
