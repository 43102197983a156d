"""The kernels of the focal loss against torchvision's, under Triton's interpreter."""

from __future__ import annotations

from tests.ops.interpreter import run_interpreted

KERNELS = """
import torch
from torchvision.ops import sigmoid_focal_loss
from lineage.models.losses import class_losses, focal

class_losses.runs_kernels = lambda x: True
applied = []
apply = focal._FocalSum.apply
focal._FocalSum.apply = lambda *arguments: applied.append(1) or apply(*arguments)
generator = torch.Generator().manual_seed(0)
weights = torch.randn(3, 110, generator=generator)

def compare(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-6)
    ours, theirs = (torch.autograd.grad(losses, logits, weights)[0] for losses in (actual, expected))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-7)

for classes in (80, 40, 16, 1):  # five tiles, two and a half, a full one, one column
    labels = torch.randint(classes + 1, (3, 110), generator=generator)  # the last is background
    gt = class_losses.one_hot(labels, classes)
    logits = (torch.randn(3, 110, classes, generator=generator) * 8).requires_grad_()
    for alpha, gamma in ((0.25, 2.0), (0.75, 0.5), (0.25, 0.0), (None, 2.0), (None, 0.0)):
        loss = focal.FocalLoss(alpha=alpha, gamma=gamma)
        exact = sigmoid_focal_loss(logits.double(), gt.double(), -1 if alpha is None else alpha, gamma)
        compare(class_losses.sum_over_classes(loss, logits, labels), exact.sum(-1).float())
        compare(class_losses.sum_over_classes(loss, logits, labels), loss(logits, gt).sum(-1))
    assert class_losses.sum_over_classes(loss, logits[:, :0], labels[:, :0]).shape == (3, 0)
    half = logits.detach().bfloat16().requires_grad_()  # read as they are, computed in float32
    losses = class_losses.sum_over_classes(loss, half, labels)
    torch.testing.assert_close(losses, loss(half.float(), gt).sum(-1))
    assert torch.autograd.grad(losses, half, weights)[0].dtype == torch.bfloat16
count = len(applied)
assert count == 44, count
class_losses.sum_over_classes(lambda logits, gt: logits * gt, logits, labels)  # another loss goes the plain way
assert len(applied) == count
certain = torch.tensor([[[-200.0], [200.0], [0.0], [50.0]]]).requires_grad_()
loss = focal.FocalLoss(alpha=0.25, gamma=0.5)
losses = class_losses.sum_over_classes(loss, certain, torch.tensor([[1, 0, 0, 1]]))
losses.sum().backward()
assert losses.isfinite().all() and certain.grad.isfinite().all()
"""


def test_the_kernels_agree_with_torchvision_under_tritons_interpreter() -> None:
    run_interpreted("-c", KERNELS)
