"""Selective Search (Uijlings et al., IJCV 2013): the regions that R-CNN, SPPnet and Fast R-CNN classify.

OpenCV's implementation ranks regions with C's `rand()`, which OpenCV's own seed does not reach, so a second run in one
process shares only a quarter of its best regions with the first. Here libc is seeded by the image, which makes a call a
function of pixels and settings; so its result is kept on disk, under the hash of both.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lineage.data.proposals.source import Boxes, ProposalsError
from lineage.data.samples.dataset import Dataset
from lineage.data.samples.sample import Sample
from lineage.results.atomic import atomic_write

log = logging.getLogger(__name__)

MODES = ("fast", "quality")  # 8 or 80 ways to group pixels
VERSION = 1  # of what a cached file means


class SelectiveSearch:
    """A proposal source: Selective Search on the image scaled to `width` pixels; sides are `min_size` there."""

    def __init__(self, dataset: Dataset, *, mode: str, width: int, min_size: int, cache: str) -> None:
        if mode not in MODES:
            raise ProposalsError(f"proposals.mode={mode}: selective search is {' or '.join(MODES)}")
        self.mode, self.width, self.min_size = mode, width, min_size
        self.fingerprint = f"selective search {VERSION} {mode} {width} {min_size} opencv {cv2.__version__}"
        self.folder = Path(cache) / hashlib.sha256(self.fingerprint.encode()).hexdigest()[:16]

    def __call__(self, sample: Sample) -> Boxes:
        pixels = sample.image.permute(1, 2, 0).contiguous().numpy()
        name = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
        path = self.folder / name[:2] / f"{name}.npy"
        boxes = _read_cached(path)
        if boxes is None:
            boxes = self.search(pixels, seed=int(name[:8], 16))
            _write_cached(path, boxes)
        return boxes

    def search(self, pixels: NDArray[np.uint8], seed: int) -> Boxes:
        """Return boxes [r, 4] in these pixels [h, w, 3] RGB, best first."""
        scale = self.width / pixels.shape[1]
        size = (self.width, max(1, round(pixels.shape[0] * scale)))
        cv2.setNumThreads(1)  # workers share the machine among themselves
        ctypes.CDLL(None).srand(seed)
        finder = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
        finder.setBaseImage(cv2.resize(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), size, interpolation=cv2.INTER_LINEAR))
        if self.mode == "fast":
            finder.switchToSelectiveSearchFast()
        else:
            finder.switchToSelectiveSearchQuality()
        boxes = np.asarray(finder.process(), np.float32).reshape(-1, 4)  # x, y, width, height
        boxes = boxes[(boxes[:, 2:] >= self.min_size).all(1)]
        back = np.array([pixels.shape[1] / size[0], pixels.shape[0] / size[1]] * 2, np.float32)
        return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1) * back


def _read_cached(path: Path) -> Boxes | None:
    """Return the boxes of an earlier call; None if there are none or the file is damaged."""
    try:
        boxes = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError) as error:
        log.warning(f"{path} is damaged ({error}) and is made again")
        return None
    return np.asarray(boxes, np.float32) if boxes.ndim == 2 and boxes.shape[1] == 4 else None


def _write_cached(path: Path, boxes: Boxes) -> None:
    """Write the boxes of an image. Two workers may do the same image at once, and either's file is whole."""
    try:
        atomic_write(path, lambda temporary: np.save(temporary, boxes))
    except OSError as error:
        raise ProposalsError(
            f"{path.parent}: proposals cannot be kept there ({error}); choose another folder with paths.cache=DIR"
        ) from error
