"""Room for batches in /dev/shm, through which workers of a loader hand them over: 64 MB in a container by default.

Without room, torch ends a worker by a bus error, or loses the batch and the run waits for ever. Here a worker waits for
its turn and for room, which comes as batches are used, and fails with a message if none comes.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import get_worker_info

FOLDER = Path("/dev/shm")
WAIT = 45.0  # seconds for room to come
MARGIN = 1 << 20  # bytes: of pages that tensors begin, and of others


class SharedMemoryError(RuntimeError):
    """No room for a batch in /dev/shm; the message has the remedy."""


def collate_shared(collate: Callable[[Any], Any], lock: AbstractContextManager[Any], items: Any) -> Any:
    """Collate a batch; in a worker, move it to shared memory when there is room. `lock` is that of all workers."""
    batch = collate(items)
    if get_worker_info() is not None and FOLDER.is_dir():
        with lock:
            share(list(iter_tensors(batch)))
    return batch


def share(tensors: list[Tensor]) -> None:
    """Move tensors to shared memory. Raises SharedMemoryError if no room for them comes within WAIT seconds."""
    size = sum(tensor.untyped_storage().nbytes() for tensor in tensors)
    until = time.monotonic() + WAIT
    while shutil.disk_usage(FOLDER).free < size + MARGIN:
        if time.monotonic() > until:
            usage = shutil.disk_usage(FOLDER)
            raise SharedMemoryError(
                f"a batch of {size / 1e6:.1f} MB finds no room in {FOLDER}, which has {usage.total / 1e6:.0f} MB, "
                f"{usage.free / 1e6:.0f} free. Give the container more (docker run --shm-size=8g, or --ipc=host), "
                "load in the training process (data.workers=0), or take fewer workers or images_per_device"
            )
        time.sleep(0.05)
    for tensor in tensors:
        tensor.share_memory_()


def iter_tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested tuples, lists and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict | tuple | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from iter_tensors(item)
