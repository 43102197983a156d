"""The canvas of an image at test time: that of its own size, so that no other image changes what is detected in it.

Normalisation layers and convolutions at the border read the padding, so a result depends on the canvas. Training pads
to few canvases; a test image is padded as in Detectron, to a multiple of 32 in models with a pyramid and not at all in
others. A batch of the test holds images of one canvas only; on a CPU it is a single image, because sums of a batch are
rounded otherwise there.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, device

from lineage.data.collate import choose_canvas
from lineage.data.samples.sample import Sample
from lineage.data.transforms.augment import Augment
from lineage.data.transforms.geometry import Size
from lineage.data.transforms.output_size import compute_output_size
from lineage.structures import Batch


@dataclass(frozen=True, slots=True)
class CanvasRule:
    """Rule of the canvases of test images: multiples of `size_divisibility`, or the buckets of training."""

    augment: Augment
    size_divisibility: int  # of the model

    @property
    def buckets(self) -> Sequence[Sequence[int]]:
        """Return the sizes of training if `augment.test_buckets` chooses speed, else none."""
        return self.augment.buckets if self.augment.test_buckets else ()

    @property
    def warning(self) -> str | None:
        """Return a line about results that are not those of the papers' canvas, or None."""
        if not self.buckets:
            return None
        return (
            "augment.test_buckets=true: test images are padded to the sizes of training, for speed; the results are "
            "others than on the canvas of each image, and are not compared with them"
        )

    def choose(self, size: Size) -> Size:
        """Return the canvas (height, width) of an image whose size after the test transform is `size`."""
        return choose_canvas([size], self.size_divisibility, self.buckets)

    def collate(self, samples: Sequence[Sample]) -> Batch:
        """Pad samples of one canvas and stack them.

        All have the same random stream: what a model draws at test time depends on no number of an image, so that a
        file alone has the result that it has in a dataset.
        """
        keywords = {"size_divisibility": self.size_divisibility, "buckets": self.buckets}
        return self.augment.collate(samples, [0] * len(samples), **keywords)

    def group_key(self, size: Size) -> Hashable:
        """Return a key that images of one canvas share: the canvas; the file's size if the transform is random."""
        output = compute_output_size(self.augment.test, size)
        return ("file", size) if output is None else self.choose(output)

    def describe(self, sizes: Tensor) -> dict[str, Any]:
        """Return the part of an evaluation digest that depends on the canvas of files of these sizes [I, 2].

        Nothing if all images have one size, whose canvas was the same before 2026-11-26. Until then a canvas was
        shared by a batch, and chosen as in training.
        """
        distinct = {(height, width) for height, width in sizes.tolist()}
        outputs = [compute_output_size(self.augment.test, size) for size in distinct]
        if len(outputs) <= 1 and all(size is not None and self._is_as_before(size) for size in outputs):
            return {}
        return {"canvas": {"size_divisibility": self.size_divisibility, "buckets": [[*size] for size in self.buckets]}}

    def _is_as_before(self, size: Size) -> bool:
        return self.choose(size) == choose_canvas([size], self.augment.size_divisibility, self.augment.buckets)


def count_images_at_once(hardware: device, images_per_device: int) -> int:
    """Return the size of a batch of the test on a device."""
    return 1 if hardware.type == "cpu" else images_per_device


def group_batches(keys: Iterable[Hashable], images_per_batch: int) -> list[list[int]]:
    """Return batches of positions in `keys`: each of equal keys, in the order of their first images."""
    batches: list[list[int]] = []
    unfilled: dict[Hashable, list[int]] = {}
    for position, key in enumerate(keys):
        batch = unfilled.get(key)
        if batch is None:
            batch = unfilled[key] = []
            batches.append(batch)
        batch.append(position)
        if len(batch) == images_per_batch:
            del unfilled[key]
    return batches
