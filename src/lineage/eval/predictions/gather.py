"""Predictions of all processes gathered on every process, as padded flat tensors: no pickle, any backend."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray

from lineage.eval.predictions.predictions import Predictions, concatenate

T = TypeVar("T")


def gather(predictions: Predictions) -> Predictions:
    """Join the predictions of rank 0, rank 1, ...; in a single process, return them unchanged."""
    if not _is_distributed():
        return predictions
    extra = _with_names_of_all(predictions.extra)
    columns: list[NDArray[Any]] = list(predictions[:-1])
    ranks = zip(*(_gather_column(column) for column in [*columns, *extra.values()]), strict=True)
    return concatenate(
        [Predictions._make([*parts[: len(columns)], dict(zip(extra, parts[len(columns) :], strict=True))])
         for parts in ranks]
    )  # fmt: skip


def _with_names_of_all(extra: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Add empty columns for the names that only other ranks have: those of a rank without images."""
    text = json.dumps({name: column.ndim for name, column in extra.items()}).encode()
    texts = _gather_column(np.frombuffer(text, np.uint8))
    dimensions: dict[str, int] = {}
    for other in texts:
        dimensions |= json.loads(other.tobytes())
    return {name: extra.get(name, np.zeros((0,) * dimensions[name])) for name in sorted(dimensions)}


def gather_rows(columns: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """Join each column of rank 0, rank 1, ...; in a single process, return them unchanged."""
    if not _is_distributed():
        return [*columns]
    return [np.concatenate(_gather_column(column)) for column in columns]


def any_rank(flags: list[bool]) -> list[bool]:
    """Return for each flag if it is set on at least one process."""
    if not _is_distributed():
        return flags
    votes = torch.tensor(flags, dtype=torch.int64, device=_device())
    dist.all_reduce(votes, op=dist.ReduceOp.MAX)
    return [bool(vote) for vote in votes.tolist()]


def on_first_rank(work: Callable[[], T]) -> T:
    """Call `work` on rank 0 only and return its result on every process."""
    if not _is_distributed():
        return work()
    result = [work() if dist.get_rank() == 0 else None]
    dist.broadcast_object_list(result, src=0, device=_device())
    return result[0]  # type: ignore[return-value]  # None only before the broadcast


def is_first_rank() -> bool:
    return not _is_distributed() or dist.get_rank() == 0


def _is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def _device() -> torch.device:
    return torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else torch.device("cpu")


def _gather_column(column: NDArray[np.generic]) -> list[NDArray[np.generic]]:
    """Return the column of every rank. Ranks may differ in every extent but agree on dtype and number of dimensions."""
    shape = torch.tensor(column.shape, dtype=torch.int64, device=_device())
    shapes = [torch.empty_like(shape) for _ in range(dist.get_world_size())]
    dist.all_gather(shapes, shape)
    sizes = [int(extents.prod()) for extents in shapes]
    padded = torch.zeros(max(sizes), dtype=torch.from_numpy(column[:0].copy()).dtype, device=_device())
    padded[: column.size] = torch.from_numpy(column.ravel().copy()).to(padded.device)
    parts = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(parts, padded)
    columns = zip(parts, sizes, shapes, strict=True)
    return [part[:size].cpu().numpy().reshape(extents.tolist()) for part, size, extents in columns]
