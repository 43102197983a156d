"""Detections of many variants of one image, such as copies with hidden pixels, several in a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

import torch
from torch import Tensor

from lineage.structures import Batch, Detections, Images, Proposals

Detect = Callable[[Images], Detections]
BATCH_PIXELS = 2**19  # of all variants of a batch: 32 images of 128 x 128, a single one of 800 x 1333
Record = TypeVar("Record", Images, Detections, Proposals)


def detect_variants(detect: Detect, images: Images, variants: Iterable[Tensor]) -> Iterator[Detections]:
    """Yield the detections [1, D] of each variant [1, 3, H, W] of the pixels of one image."""
    iterator = iter(variants)
    size = images.pixels.shape[-2] * images.pixels.shape[-1]
    while chunk := [*islice(iterator, max(1, BATCH_PIXELS // size))]:
        repeated = repeat(images, len(chunk))._replace(pixels=torch.cat(chunk))
        detections = detect(repeated)
        yield from (select(detections, index) for index in range(len(chunk)))


def repeat(images: Images, count: int) -> Images:
    """Return one image as `count` equal images."""
    proposals = images.proposals and Proposals(*(field.expand(count, *field.shape[1:]) for field in images.proposals))
    pixels, sizes, keys = (field.expand(count, *field.shape[1:]) for field in images[:3])
    return Images(pixels, sizes, keys, proposals)


def select(record: Record, index: int) -> Record:
    """Return the record of one image of a batch."""
    return type(record)(*(
        None if field is None else select(field, index) if isinstance(field, tuple) else
        {name: values[index : index + 1] for name, values in field.items()} if isinstance(field, dict) else
        field[index : index + 1] for field in record
    ))  # type: ignore[arg-type]  # fmt: skip


def select_image(batch: Batch, index: int) -> Batch:
    """Return one image of a batch without its targets' other images."""
    return batch._replace(
        images=select(batch.images, index),
        ids=batch.ids[index : index + 1],
        original_sizes=batch.original_sizes[index : index + 1],
    )
