"""Drawn samples as files, so that a machine draws an image once: in a run's later epochs and in all later runs.

Drawing an image of 128 pixels takes 4 ms, reading its file 0.2. A file is written whole or not at all and carries a
checksum; whatever cannot be read is drawn again, and whatever cannot be written is not stored. Folders lie in
$LINEAGE_CACHE/shapes and may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import PIL
from numpy.typing import NDArray

from lineage.data.shapes.outlines import KEYPOINTS
from lineage.results.atomic import atomic_write

LARGEST = 400 << 20  # bytes of a split's images; a larger split is drawn anew each time
FOLDERS = 6  # splits that are stored; the one unused for longest makes room
HEADER = struct.Struct("<4sIIII")  # format, checksum, objects, bytes of masks, whether there are semantic labels
FORMAT = b"drw1"


class DrawnSample(NamedTuple):
    """One drawn image with its annotations, as arrays."""

    image: NDArray[np.uint8]  # [3, h, w] RGB
    boxes: NDArray[np.float32]  # [n, 4] XYXY
    labels: NDArray[np.int64]  # [n]
    crowd: NDArray[np.bool_]  # [n]
    bits: NDArray[np.uint8]  # [S] the masks in their windows, see MaskCrops
    windows: NDArray[np.int64]  # [n, 4]
    keypoints: NDArray[np.float32]  # [n, K, 3]
    semantic: NDArray[np.uint8] | None  # [h, w]


class DrawnFiles:
    """The files of one split. `key` is all that its images depend on beside the versions of the libraries."""

    def __init__(self, key: object, pixels: int, keypoints: int = len(KEYPOINTS)):
        versions = (FORMAT, np.__version__, PIL.__version__)
        name = hashlib.sha256(repr((versions, key)).encode()).hexdigest()[:32]
        self.folder = _cache_folder() / name
        self.is_used = 3 * pixels <= LARGEST
        self.keypoints = keypoints
        with suppress(OSError):
            os.utime(self.folder)  # the time of its last use

    def get(self, index: int, size: tuple[int, int], draw: Callable[[], DrawnSample]) -> DrawnSample:
        """Return image `index` of (height, width) `size`: from its file, or drawn and stored."""
        if not self.is_used:
            return draw()
        path = self.folder / f"{index:06d}"
        with suppress(OSError):
            if (stored := decode(path.read_bytes(), size, self.keypoints)) is not None:
                return stored
        drawn = draw()
        with suppress(OSError):  # a full disk or a folder of another user: the next run draws again
            if not self.folder.exists():
                _remove_oldest(self.folder.parent, keep=FOLDERS - 1)
            atomic_write(path, encode(drawn))
        return drawn


def encode(sample: DrawnSample) -> bytes:
    """Return the bytes of a file: the header, then the arrays one after the other."""
    content = b"".join(field.tobytes() for field in sample if field is not None)
    counts = len(sample.boxes), len(sample.bits), sample.semantic is not None
    return HEADER.pack(FORMAT, zlib.crc32(content), *counts) + content


def decode(content: bytes, size: tuple[int, int], keypoints: int) -> DrawnSample | None:
    """Return the sample of a file; None if the file is cut off, damaged or of another format."""
    if len(content) < HEADER.size:
        return None
    name, checksum, objects, mask_bytes, has_semantic = HEADER.unpack_from(content)
    if name != FORMAT or zlib.crc32(memoryview(content)[HEADER.size :]) != checksum:
        return None
    shapes: list[tuple[type[np.generic], tuple[int, ...]]] = [
        (np.uint8, (3, *size)),
        (np.float32, (objects, 4)),
        (np.int64, (objects,)),
        (np.bool_, (objects,)),
        (np.uint8, (mask_bytes,)),
        (np.int64, (objects, 4)),
        (np.float32, (objects, keypoints, 3)),
        (np.uint8, size if has_semantic else (0,)),
    ]
    arrays: list[NDArray[Any]] = []
    start = HEADER.size
    for kind, shape in shapes:
        # a copy: tensors need memory that can be written
        arrays.append(np.frombuffer(content, kind, prod(shape), start).reshape(shape).copy())
        start += arrays[-1].nbytes
    drawn = DrawnSample(*arrays)
    return drawn if has_semantic else drawn._replace(semantic=None)


def _cache_folder() -> Path:
    return Path(os.environ.get("LINEAGE_CACHE") or Path.home() / ".cache" / "lineage", "shapes").expanduser()


def _remove_oldest(parent: Path, keep: int) -> None:
    """Remove all but the `keep` folders that were used last."""
    folders = sorted(parent.iterdir(), key=lambda folder: folder.stat().st_mtime) if parent.is_dir() else []
    for folder in folders[: max(len(folders) - keep, 0)]:
        shutil.rmtree(folder, ignore_errors=True)
