"""Images for the fit and images for the test: two halves of one result file, by a hash of the image ids."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple


class CalibrationError(ValueError):
    """A calibration that cannot be fitted, or that would be tested on the images of its fit."""


class Split(NamedTuple):
    fit: tuple[int, ...]  # image ids
    test: tuple[int, ...]

    def digest(self) -> str:
        """Return the sha256 of both lists: measures of different ones are not compared."""
        text = json.dumps({"fit": sorted(self.fit), "test": sorted(self.test)})
        return hashlib.sha256(text.encode()).hexdigest()


def split_halves(images: Iterable[int], seed: int) -> Split:
    """Return two halves of the images, the same in every process; the fit has the odd one."""
    ids = sorted(images, key=lambda image: hashlib.sha256(f"{seed}:{image}".encode()).digest())
    if len(ids) < 2:
        raise CalibrationError(f"{len(ids)} images have no two halves: name another result file with --fit FILE")
    middle = (len(ids) + 1) // 2
    return Split(tuple(sorted(ids[:middle])), tuple(sorted(ids[middle:])))


def identify_images(images: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a short digest of the id and file name of each image: two datasets may use one id for different images."""
    texts = (f"{image['id']} {str(image.get('file_name', '')).rpartition('/')[2]}" for image in images)
    return [hashlib.sha256(text.encode()).hexdigest()[:16] for text in texts]
