"""A worker waits for room in shared memory; without any it fails with a message, and no run hangs."""

import shutil
import threading
import time
from functools import partial
from multiprocessing import Lock
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from lineage.data import shared_memory
from lineage.data.shared_memory import SharedMemoryError, collate_shared, iter_tensors, share
from lineage.structures import Batch, Images
from lineage.train.entry_writer import unwrap_worker_error


def set_room(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    usage = SimpleNamespace(total=64 << 20, free=free)
    monkeypatch.setattr(shared_memory, "shutil", SimpleNamespace(disk_usage=lambda _: usage))


def test_without_room_a_worker_fails_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    set_room(monkeypatch, 4 << 20)
    monkeypatch.setattr(shared_memory, "WAIT", 0.2)
    with pytest.raises(SharedMemoryError, match=r"a batch of 4.0 MB finds no room .* 67 MB, 4 free.*data.workers=0"):
        share([torch.zeros(1_000_000)])


def test_room_that_comes_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    set_room(monkeypatch, 0)
    threading.Timer(0.2, set_room, (monkeypatch, 64 << 20)).start()
    tensor, started = torch.arange(1_000_000), time.monotonic()
    share([tensor])
    assert time.monotonic() - started > 0.15
    assert tensor.is_shared()
    assert torch.equal(tensor, torch.arange(1_000_000))


def test_every_tensor_of_a_batch_is_moved() -> None:
    images = Images(torch.zeros(1, 3, 4, 4), torch.zeros(1, 2), torch.zeros(1))
    batch = Batch(images, None, torch.zeros(0), torch.ones(1, 2))  # type: ignore[arg-type]
    assert len(list(iter_tensors((batch, {"a": [torch.zeros(1)]})))) == 6
    share(list(iter_tensors(batch)))
    assert all(tensor.is_shared() for tensor in iter_tensors(batch) if tensor.numel())


def stack(items: Any) -> torch.Tensor:
    return torch.stack(items)


def make_loader(size: int) -> DataLoader[torch.Tensor]:
    values = [torch.full((size,), float(i)) for i in range(8)]
    collate = partial(collate_shared, stack, Lock())
    return DataLoader(values, batch_size=2, num_workers=2, collate_fn=collate)  # type: ignore[arg-type]


def test_workers_hand_over_what_they_collated() -> None:
    assert [batch[:, 0].tolist() for batch in make_loader(5)] == [[0, 1], [2, 3], [4, 5], [6, 7]]


def test_the_message_reaches_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_memory, "WAIT", 0.1)
    monkeypatch.setattr(shared_memory, "MARGIN", shutil.disk_usage(shared_memory.FOLDER).total)
    with pytest.raises(SharedMemoryError) as raised:
        list(make_loader(5))
    assert str(unwrap_worker_error(raised.value)).startswith("a batch of 0.0 MB finds no room in /dev/shm")
