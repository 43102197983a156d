"""The protocol of frame interpolation: PSNR and SSIM of each frame in 8 bits, averaged over the frames."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lineage.eval.metrics import image_quality
from lineage.eval.predictions.accumulator import check_complete
from lineage.eval.predictions.gather import gather_rows
from lineage.structures import INTERPOLATION, FrameBatch

METRICS = ("frame/PSNR", "frame/SSIM")
NUM_EXAMPLES = 4  # frames that a picture shows


class FrameDataset(Protocol):
    """The part of a dataset that the evaluator reads."""

    ids: Tensor  # [N]
    clips: Sequence[str]  # [N] the clip of each triplet


class Example(NamedTuple):
    """A frame that was predicted, beside what was given and what is true; all [3, h, w] uint8."""

    clip: str
    first: Tensor
    second: Tensor
    predicted: Tensor
    truth: Tensor


class FrameEvaluator:
    """Evaluator of predicted frames.

    frame/PSNR is in dB, frame/SSIM in percent. A frame is clipped and rounded to 8 bits first, as if it were stored.
    """

    task = INTERPOLATION

    def __init__(self, dataset: FrameDataset) -> None:
        self.ids, self.clips = dataset.ids.numpy(), list(dataset.clips)
        every = max(1, len(self.clips) // NUM_EXAMPLES)
        self._example_ids = {int(number) for number in self.ids[every // 2 :: every][:NUM_EXAMPLES]}
        self.examples: dict[int, Example] = {}  # by id, of the last evaluation on this process
        self._rows: list[tuple[float, ...]] = []  # id, PSNR, SSIM of each frame since the last `compute`
        self._scores: NDArray[np.float64] = np.zeros((0, 3))  # of the last `compute`, by id

    @property
    def protocol(self) -> dict[str, Any]:
        return {
            "name": "frames", "bits": 8, "window": image_quality.WINDOW, "sigma": image_quality.SIGMA,
            "k": [image_quality.K1, image_quality.K2], "channels": "mean",
        }  # fmt: skip

    def check_outputs(self, frames: Tensor) -> None:
        """Raise ValueError unless these are frames [B, 3, H, W]."""
        if not isinstance(frames, Tensor) or frames.ndim != 4 or frames.shape[1] != 3:
            raise ValueError(f"the evaluator of frames reads images [B, 3, H, W], not {type(frames).__name__}")

    def update(self, frames: Tensor, batch: FrameBatch) -> None:
        """Add the frames [B, 3, H, W], in 0..1, of a batch."""
        stored = (255 * frames).round().clamp(0, 255).to(torch.uint8)
        for slot, number in enumerate(batch.ids.tolist()):
            height, width = batch.images.sizes[slot].long().tolist()
            inside = ..., slice(height), slice(width)
            predicted, truth = stored[slot][inside], batch.targets[slot][inside]
            quality = (metric(predicted[None], truth[None]) for metric in (image_quality.psnr, image_quality.ssim))
            self._rows.append((number, *(float(value) for value in quality)))
            if number in self._example_ids:
                first, second = batch.images.frames[slot][inside]
                shown = (image.cpu() for image in (first, second, predicted, truth))
                self.examples[number] = Example(self.clips[number - 1], *shown)

    def compute(self) -> dict[str, float]:
        """Return the means over all frames; every process gets the same."""
        rows = np.array(self._rows, np.float64).reshape(-1, 3)
        self._rows = []
        numbers, psnr, ssim = gather_rows([rows[:, 0].astype(np.int64), rows[:, 1], rows[:, 2]])
        distinct, position = np.unique(numbers, return_index=True)  # processes may repeat the first ones
        check_complete(distinct, self.ids)
        self._scores = np.stack([distinct, psnr[position], 100 * ssim[position]], 1)
        return self._mean(self._scores)

    def per_class(self) -> dict[str, dict[str, float]]:
        """Return clip -> metric -> mean over its frames."""
        rows = defaultdict(list)
        for row in self._scores:
            rows[self.clips[int(row[0]) - 1]].append(row)
        return {clip: self._mean(np.stack(of_clip)) for clip, of_clip in rows.items()}

    def results(self) -> list[dict[str, Any]]:
        """Return a record for each frame: image_id, clip and metrics."""
        return [
            {"image_id": int(number), "clip": self.clips[int(number) - 1], METRICS[0]: psnr, METRICS[1]: ssim}
            for number, psnr, ssim in self._scores.tolist()
        ]

    @staticmethod
    def _mean(rows: NDArray[np.float64]) -> dict[str, float]:
        return dict(zip(METRICS, rows[:, 1:].mean(0).tolist(), strict=True))
