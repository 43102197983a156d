"""Videos and folders of frames for the fuzz: refused, or read as frames of one size."""

from __future__ import annotations

import random
import shutil
from itertools import islice
from pathlib import Path

import numpy as np
from benchmarks.robustness.fuzz import Wrong
from benchmarks.robustness.mutations import damage_bytes

from lineage.data.frames import clips
from lineage.data.frames.clip_files import cache_folder
from lineage.data.samples.image import MEGAPIXELS
from lineage.data.samples.video import read_frame_rate, read_frames, write_frames

SUFFIXES = (".avi", ".mkv", ".mp4")
PLAYLISTS = (
    b"ffconcat version 1.0\nfile other.avi\n", b"ffconcat version 1.0\nfile clip.avi\n",
    b"#EXTM3U\n#EXTINF:1,\nother.avi\n#EXT-X-ENDLIST\n", b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n",
)  # fmt: skip
MOST = 100  # frames that are read; a file of kilobytes that has more is read on, frame by frame


def draw_frames() -> list[np.ndarray]:
    """Return six frames of 32 x 24 pixels on which a square moves."""
    frames = [np.full((24, 32, 3), 60, np.uint8) for _ in range(6)]
    for number, frame in enumerate(frames):
        frame[6:14, 3 * number : 3 * number + 8] = (200, 40, 90)
    return frames


class Videos:
    """A clip in three containers, read for `lineage predict` and as a dataset; the first byte numbers its container."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        write_frames(folder / "other.avi", draw_frames(), 5)
        self.files = []
        for suffix in SUFFIXES:
            write_frames(folder / f"clip{suffix}", draw_frames(), 5)
            self.files.append((folder / f"clip{suffix}").read_bytes())

    def damage(self, chance: random.Random) -> bytes:
        number = chance.randrange(len(self.files))
        if chance.random() < 0.1:
            return bytes([number]) + chance.choice(PLAYLISTS)
        data = damage_bytes(self.files[number], chance)
        if chance.random() < 0.5:  # the header, where sizes and rates are
            data = damage_bytes(data[:400], chance) + data[400:]
        return bytes([number]) + data

    def read(self, data: bytes) -> None:
        path = self.folder / f"clip{SUFFIXES[data[0]]}"
        path.write_bytes(data[1:])
        rate = read_frame_rate(path)
        if not 0 < rate < 1000:
            raise Wrong(f"{rate} frames per second")
        shapes = {frame.shape for frame in islice(read_frames(path), MOST)}
        if len(shapes) != 1:
            raise Wrong(f"frames of {shapes}")
        height, width, _ = next(iter(shapes))
        if height * width > MEGAPIXELS * 10**6:
            raise Wrong(f"a frame of {height} x {width}")
        if data[1:] in PLAYLISTS:
            raise Wrong("a list of other files was read as a video")
        shutil.rmtree(cache_folder(), ignore_errors=True)
        read_triplets(path)


class Clips:
    """A folder of numbered pictures, one of them damaged, or of another size."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "clips/first"
        self.folder.mkdir(parents=True)
        from PIL import Image

        for number, frame in enumerate(draw_frames()):
            Image.fromarray(frame).save(self.folder / f"{number:04d}.png")
        Image.fromarray(draw_frames()[0][:20]).save(folder / "small.png")
        self.files = [self.folder / "0002.png", folder / "small.png"]
        self.examples = [file.read_bytes() for file in self.files]

    def damage(self, chance: random.Random) -> bytes:
        data = self.examples[chance.random() < 0.1]
        return data if chance.random() < 0.05 else damage_bytes(data, chance)

    def read(self, data: bytes) -> None:
        self.files[0].write_bytes(data)
        read_triplets(self.folder.parent)


def read_triplets(root: Path) -> None:
    """Read every sample, as training does, and raise Wrong for frames that differ in size."""
    dataset = clips.load(root=str(root), time=0.5, interval=2, stride=1, part=(0, 1))
    for position in range(min(len(dataset), MOST)):
        sample = dataset[position]
        if sample.frames.shape[-2:] != sample.image.shape[-2:] or sample.image.shape[-2:] != sample.original_size:
            raise Wrong(f"sample {position}: {tuple(sample.frames.shape)} and {tuple(sample.image.shape)}")
