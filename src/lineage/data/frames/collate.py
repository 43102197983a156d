"""Collation of triplets: frames of different sizes become one dense batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lineage.data.collate import choose_canvas
from lineage.data.frames.sample import FrameSample
from lineage.structures import FrameBatch, FramePairs


def collate(
    samples: Sequence[FrameSample],
    rng_keys: Sequence[int],
    *,
    size_divisibility: int = 16,
    buckets: Sequence[Sequence[int]] = (),
) -> FrameBatch:
    """Pad the samples to one size and stack them; beyond their border frames repeat it, and nothing moves.

    rng_keys           of each sample, for ops.random
    size_divisibility  both sides are a multiple of it if no bucket fits
    buckets            sizes (height, width), either way round; the smallest one that holds every frame is used
    """
    sizes = [(int(sample.image.shape[-2]), int(sample.image.shape[-1])) for sample in samples]
    canvas = choose_canvas(sizes, size_divisibility, buckets)
    flows = [F.pad(sample.flows, _padding(sample.flows, canvas)) for sample in samples if sample.flows is not None]
    return FrameBatch(
        images=FramePairs(
            frames=torch.stack([_repeat_border(sample.frames, canvas) for sample in samples]),
            sizes=torch.tensor(sizes, dtype=torch.float32),
            rng_keys=torch.tensor(list(rng_keys), dtype=torch.int64),
            flows=torch.stack(flows) if len(flows) == len(samples) else None,
        ),
        targets=torch.stack([_repeat_border(sample.image[None], canvas)[0] for sample in samples]),
        ids=torch.tensor([sample.image_id for sample in samples], dtype=torch.int64),
        original_sizes=torch.tensor([sample.original_size for sample in samples], dtype=torch.int64),
    )


def _padding(images: Tensor, canvas: tuple[int, int]) -> tuple[int, int, int, int]:
    return 0, canvas[1] - images.shape[-1], 0, canvas[0] - images.shape[-2]


def _repeat_border(images: Tensor, canvas: tuple[int, int]) -> Tensor:
    """Pad images [n, 3, h, w] to the canvas."""
    padding = _padding(images, canvas)
    return F.pad(images.float(), padding, mode="replicate").to(images.dtype) if any(padding) else images
