"""Synchronised batch norm on CPUs: two processes with four images each are one process with eight.

The oracle is torch.nn.BatchNorm2d on all images. Torch's own SyncBatchNorm computes the same, on GPUs alone.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn

from lineage.models.backbones.norm import CpuSyncBatchNorm, get_norm, synchronize_on_cpu

PROCESSES, CHANNELS, STEPS = 2, 3, 2
SPLIT = (5, 3)  # images of each process: statistics are over all pixels, not means of the processes' means


def draw_images() -> Tensor:
    return torch.randn(STEPS, sum(SPLIT), CHANNELS, 4, 6, generator=torch.Generator().manual_seed(0)).double() * 3 + 1


def train(norm: nn.Module, batches: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the gradients of the images, and the layer's state and gradients after some batches."""
    batches = batches.clone().requires_grad_()
    for batch in batches:
        y = norm(batch)
        (y * y.detach().sin()).sum().backward()
    state = {name: value.detach().clone() for name, value in norm.state_dict().items()}
    state |= {f"{name}.grad": parameter.grad for name, parameter in norm.named_parameters()}
    assert batches.grad is not None
    return batches.grad, state


def train_part(rank: int, folder: str) -> None:
    store = dist.FileStore(f"{folder}/store", PROCESSES)
    dist.init_process_group("gloo", rank=rank, world_size=PROCESSES, store=store)
    torch.manual_seed(0)
    part = draw_images().split(SPLIT, 1)[rank]
    torch.save(train(make_norm("sync_bn"), part), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def make_norm(name: str) -> nn.Module:
    body = nn.Sequential(get_norm(name)(CHANNELS).double())
    synchronize_on_cpu(body)
    norm = body[0]
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.5, 1.0, 2.0]))
        norm.bias.copy_(torch.tensor([-1.0, 0.0, 1.0]))
    return norm


@pytest.mark.slow
def test_two_processes_are_one_with_all_images(tmp_path: Path) -> None:
    spawn(train_part, (str(tmp_path),), PROCESSES)
    parts = [torch.load(tmp_path / f"{rank}.pt") for rank in range(PROCESSES)]
    gradients, state = train(make_norm("bn"), draw_images())
    torch.testing.assert_close(torch.cat([gradient for gradient, _ in parts], 1), gradients)
    for name, value in state.items():
        if name.endswith(".grad"):  # of parameters, which DDP adds up
            torch.testing.assert_close(sum(part[name] for _, part in parts), value)
        else:
            assert all(torch.allclose(part[name], value, rtol=1e-12) for _, part in parts), name


def test_one_process_has_an_ordinary_batch_norm() -> None:
    images = draw_images()
    (ours, state), (theirs, expected) = train(make_norm("sync_bn"), images), train(make_norm("bn"), images)
    torch.testing.assert_close(ours, theirs)
    assert state.keys() == expected.keys()
    assert isinstance(make_norm("sync_bn"), CpuSyncBatchNorm)


def test_a_layer_keeps_its_tensors_when_it_is_replaced() -> None:
    body = nn.ModuleDict({"stem": nn.Sequential(nn.Conv2d(3, 4, 1), get_norm("sync_bn")(4)), "norm": nn.BatchNorm2d(3)})
    before = body.state_dict(keep_vars=True)
    synchronize_on_cpu(body.eval())
    after = body.state_dict(keep_vars=True)
    assert [*after] == [*before]
    assert all(after[name] is value for name, value in before.items())
    assert [type(part) for part in body.modules() if isinstance(part, nn.BatchNorm2d)] == [
        CpuSyncBatchNorm, nn.BatchNorm2d,
    ]  # fmt: skip
    assert not body["stem"][1].training
